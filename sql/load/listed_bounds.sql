-- What: the bounds of all versions of the streams in `listed` whose stored versions are read, for `near`. These
-- streams were listed in full, are of an image that AWS does not know, or may have unexplained numbers. Without such
-- streams, the bounds are null.
-- Parameters: none; reads the temporary table `listed`.
-- Returns: nothing; sets the variable `listed_bounds`.
SET VARIABLE listed_bounds = (
    SELECT bounds_of(account_id, region, image_name, NULL::INTEGER)
    FROM listed
    LEFT JOIN streams USING (account_id, region, image_name)
    WHERE
        listed.listing = 'full'
        OR listed.missing
        OR listed.outcome = 'gone'
        OR streams.highest_version IS NULL
        OR streams.unexplained IS DISTINCT FROM 0
);
