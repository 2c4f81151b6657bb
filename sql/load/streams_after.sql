-- What: what the streams table must say after the run, for the streams where that is something new.
-- Parameters: none; reads the temporary tables `listed` and `touched`, and image_versions after the merge.
-- Returns: nothing; makes the temporary table `streams_after`, one row a stream.
-- Live versions are counted only where versions changed: a quiet run must not read the whole table.
CREATE OR REPLACE TEMP TABLE streams_after AS
WITH live AS (
    SELECT
        account_id,
        region,
        image_name,
        count(*) FILTER (etl_deleted_at IS NULL) AS live_versions,
        min(version) AS lowest_version,
        max(version) AS highest_version
    FROM image_versions
    SEMI JOIN touched USING (account_id, region, image_name)
    GROUP BY ALL
)
SELECT
    source.account_id,
    source.region,
    source.image_name,
    greatest(target.watermark, source.watermark) AS watermark,
    CASE
        WHEN source.listing = 'full' AND source.outcome = 'complete' THEN greatest(target.last_full_at, source.t0)
        ELSE target.last_full_at
    END AS last_full_at,
    greatest(target.highest_version, live.highest_version) AS highest_version,
    least(target.first_version_seen, live.lowest_version) AS first_version_seen,
    coalesce(live.live_versions, target.live_versions, 0) AS live_versions
FROM listed AS source
LEFT JOIN streams AS target USING (account_id, region, image_name)
LEFT JOIN live USING (account_id, region, image_name)
WHERE
    target.image_name IS NULL
    OR live.image_name IS NOT NULL
    OR greatest(target.watermark, source.watermark) IS DISTINCT FROM target.watermark
    OR (source.listing = 'full' AND source.outcome = 'complete' AND source.pages > 1);
