-- What: the bounds of the versions that changed and of those whose details were read, for `near`.
-- Parameters: none; reads the temporary tables `changed` and `details`.
-- Returns: nothing; sets the variable `detailed_bounds`.
SET VARIABLE detailed_bounds = (
    SELECT bounds_of(account_id, region, image_name, version)
    FROM (
        SELECT account_id, region, image_name, version
        FROM changed
        UNION ALL
        SELECT account_id, region, image_name, version
        FROM details
    )
);
