-- What: the bounds of the landed versions in the scopes of this load, for `near`.
-- Parameters: none; reads the variable `segments` and the registered Arrow table `scopes_arrow`.
-- Returns: nothing; sets the variable `landed_bounds`.
SET VARIABLE landed_bounds = (
    SELECT bounds_of(account_id, region, image_name, version)
    FROM read_parquet(getvariable('segments'))
    SEMI JOIN scopes_arrow USING (account_id, region)
);
