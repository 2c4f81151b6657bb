-- What: the bounds of all versions of the streams in `touched`, for `near`.
-- Parameters: none; reads the temporary table `touched`.
-- Returns: nothing; sets the variable `touched_bounds`.
SET VARIABLE touched_bounds = (
    SELECT bounds_of(account_id, region, image_name, NULL::INTEGER)
    FROM touched
);
