-- What: the bounds of the versions that changed and of those whose details were read, for `near`.
-- Parameters: none; reads the temporary tables `changed` and `details`.
-- Returns: nothing; sets the variable `detailed_bounds`.
SET VARIABLE detailed_bounds = (
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
    FROM (
        SELECT account_id, region, image_name, version
        FROM changed
        UNION ALL
        SELECT account_id, region, image_name, version
        FROM details
    )
);
