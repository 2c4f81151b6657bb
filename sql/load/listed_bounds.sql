-- What: the bounds of those streams in `listed` whose stored versions are looked at, for `near`, of all of their
-- versions: what was listed in full or is gone, and what has numbers that nothing explains. They are null if none is.
-- Parameters: none; reads the temporary table `listed`.
-- Returns: nothing; sets the variable `listed_bounds`.
SET VARIABLE listed_bounds = (
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
    FROM listed
    LEFT JOIN streams USING (account_id, region, image_name)
    WHERE
        listed.listing = 'full'
        OR listed.missing
        OR listed.outcome = 'gone'
        OR streams.highest_version IS NULL
        OR streams.unexplained IS DISTINCT FROM 0
);
