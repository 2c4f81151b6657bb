-- What: the bounds of the changed versions that are stored already, for `near`.
-- Parameters: none; reads the temporary table `changed`.
-- Returns: nothing; sets the variable `changed_bounds`.
SET VARIABLE changed_bounds = (
    SELECT bounds_of(account_id, region, image_name, version)
    FROM changed
    WHERE etl_change <> 'created'
);
