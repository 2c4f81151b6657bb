-- What: the bounds of the versions whose details a run read, for `near`.
-- Parameters: $details, the paths of the run's files of details.
-- Returns: nothing; sets the variable `details_bounds`.
SET VARIABLE details_bounds = (
    SELECT struct_pack(
        lowest_account := min(account_id),
        highest_account := max(account_id),
        lowest_region := min(region),
        highest_region := max(region),
        lowest_image := min(image_name),
        highest_image := max(image_name),
        lowest_version := min(version),
        highest_version := max(version)
    )
    FROM read_parquet($details)
);
