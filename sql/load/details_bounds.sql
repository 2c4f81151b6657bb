-- What: the bounds of the versions whose details the run read, for `near`.
-- Parameters: $details, the paths of the run's files of details.
-- Returns: nothing; sets the variable `details_bounds`.
SET VARIABLE details_bounds = (
    SELECT bounds_of(account_id, region, image_name, version)
    FROM read_parquet($details)
);
