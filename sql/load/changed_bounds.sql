-- What: the bounds of the versions that change and are stored, for `near`.
-- Parameters: none; reads the temporary table `changed`.
-- Returns: nothing; sets the variable `changed_bounds`.
SET VARIABLE changed_bounds = (
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
    FROM changed
    WHERE etl_change <> 'created'
);
