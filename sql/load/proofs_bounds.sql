-- What: the bounds of the streams of which a number was proved absent, for `near`, of all of their versions.
-- Parameters: none; reads the temporary table `proofs`.
-- Returns: nothing; sets the variable `proofs_bounds`.
SET VARIABLE proofs_bounds = (
    SELECT struct_pack(
        lowest_account := min(account_id),
        highest_account := max(account_id),
        lowest_region := min(region),
        highest_region := max(region),
        lowest_image := min(image_name),
        highest_image := max(image_name),
        lowest_version := NULL::INTEGER,
        highest_version := NULL::INTEGER
    )
    FROM proofs
);
