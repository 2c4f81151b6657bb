-- What: what is stored of streams of more than one page that decides how many calls their listings take.
-- Parameters: none; reads the relation `large_streams_arrow` (account_id, region, image_name, since_ms).
-- Returns: account_id, region, image_name, recent (live versions changed since then; all if since_ms is null),
-- unexplained (numbers, between the first and the highest seen, that are neither stored nor proved absent).
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
),
absent AS (
    SELECT
        account_id,
        region,
        image_name,
        sum(least(last_version, highest_version) - greatest(first_version, first_version_seen) + 1) AS numbers
    FROM absent_versions
    JOIN streams USING (account_id, region, image_name)
    WHERE
        first_version <= highest_version
        AND last_version >= first_version_seen
        AND absent_versions.image_created_at IS NOT DISTINCT FROM streams.image_created_at
    GROUP BY ALL
)
SELECT
    streams.account_id,
    streams.region,
    streams.image_name,
    stored.recent,
    greatest(
        0,
        streams.highest_version - streams.first_version_seen + 1 - stored.numbers - coalesce(absent.numbers, 0)
    )::BIGINT AS unexplained
FROM streams
JOIN stored USING (account_id, region, image_name)
LEFT JOIN absent USING (account_id, region, image_name);
