-- What: the bounds of those streams in `listed` whose stored versions are looked at, for `near`, of all of their
-- versions: what was listed in full or is gone, and what has numbers that nothing explains. They are null if none is.
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
