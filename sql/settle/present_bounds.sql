-- What: the bounds of all versions of the images that may have pending details, for `near`.
-- Parameters: $images, the paths of the run's files of images; reads the temporary table `listed`.
-- Returns: nothing; sets the variable `present_bounds`.
SET VARIABLE present_bounds = (
    SELECT bounds_of(account_id, region, image_name, NULL::INTEGER)
    FROM (
        SELECT account_id, region, image_name
        FROM listed
        UNION ALL
        SELECT account_id, region, image_name
        FROM read_parquet($images)
    )
);
