-- What: the bounds of all versions of the streams with numbers that were proved absent, for `near`.
-- Parameters: none; reads the temporary table `proofs`.
-- Returns: nothing; sets the variable `proofs_bounds`.
SET VARIABLE proofs_bounds = (
    SELECT bounds_of(account_id, region, image_name, NULL::INTEGER)
    FROM proofs
);
