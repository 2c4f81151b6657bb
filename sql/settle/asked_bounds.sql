-- What: the bounds of the images that may owe details, for `near`, of all of their versions.
-- Parameters: $images, the paths of the run's files of images; reads the temporary table `listed`.
-- Returns: nothing; sets the variable `asked_bounds`.
SET VARIABLE asked_bounds = (
    SELECT struct_pack(
        lowest_account := min(account_id),
        highest_account := max(account_id),
        lowest_region := min(region),
        highest_region := max(region),
        lowest_image := min(image_name),
        highest_image := max(image_name),
        lowest_version := NULL::INTEGER,
        highest_version := NULL::INTEGER
    )
    FROM (
        SELECT account_id, region, image_name
        FROM listed
        UNION ALL
        SELECT account_id, region, image_name
        FROM read_parquet($images)
    )
);
