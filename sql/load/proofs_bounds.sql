-- What: the bounds of the streams of which a number was proved absent, for `near`, of all of their versions.
-- Parameters: none; reads the temporary table `proofs`.
-- Returns: nothing; sets the variable `proofs_bounds`.
SET VARIABLE proofs_bounds = (
    SELECT bounds_of(account_id, region, image_name, NULL::INTEGER)
    FROM proofs
);
