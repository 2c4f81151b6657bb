-- What: what is stored of streams of more than one page that decides how many calls their listings take.
-- Parameters: none; reads the relation `large_streams_arrow` (account_id, region, image_name, since_ms).
-- Returns: account_id, region, image_name, recent (live versions changed since then; all if since_ms is null),
-- unexplained (as in streams; of a stream of which that is not known the most that it can be).
WITH stored AS (
    SELECT
        account_id,
        region,
        image_name,
        count(*) AS numbers,
        count(*) FILTER (
            etl_deleted_at IS NULL AND (since_ms IS NULL OR epoch_ms(last_modified_time) >= since_ms)
        ) AS recent
    FROM image_versions
    JOIN large_streams_arrow USING (account_id, region, image_name)
    GROUP BY ALL
)
SELECT
    streams.account_id,
    streams.region,
    streams.image_name,
    stored.recent,
    coalesce(
        streams.unexplained,
        greatest(0, streams.highest_version - streams.first_version_seen + 1 - stored.numbers)
    ) AS unexplained
FROM streams
JOIN stored USING (account_id, region, image_name);
