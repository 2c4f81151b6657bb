-- What: the bounds of the landed versions, for `near`.
-- Parameters: none; reads the variable `segments` and the registered Arrow table `scopes_arrow`.
-- Returns: nothing; sets the variable `landed_bounds`.
SET VARIABLE landed_bounds = (
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
    FROM read_parquet(getvariable('segments'))
    SEMI JOIN scopes_arrow USING (account_id, region)
);
