-- What: the bounds of the versions that change and are stored, for `near`.
-- Parameters: none; reads the temporary table `changed`.
-- Returns: nothing; sets the variable `changed_bounds`.
SET VARIABLE changed_bounds = (
    SELECT bounds_of(account_id, region, image_name, version)
    FROM changed
    WHERE etl_change <> 'created'
);
