-- What: how many versions each scope would lose, of how many that live; for the mass-delete breaker. What ended
-- with an image that was made again needs no breaker.
-- Parameters: none; reads the temporary table `deleted`.
-- Returns: account_id, region, deletions, live_versions; one row a scope that would lose any.
SELECT
    account_id,
    region,
    count(*) AS deletions,
    any_value(live.live_versions) AS live_versions
FROM (FROM deleted WHERE evidence <> 'image_recreated') AS deleted
JOIN (
    SELECT account_id, region, count(*) AS live_versions
    FROM image_versions
    SEMI JOIN deleted USING (account_id, region)
    WHERE etl_deleted_at IS NULL
    GROUP BY account_id, region
) AS live USING (account_id, region)
GROUP BY account_id, region;
