-- What: the stored facts that decide how many calls the listings of streams of more than one page take.
-- Parameters: none; reads the relation `large_streams_arrow` (account_id, region, image_name, since_ms).
-- Returns: account_id, region, image_name, recent (live versions changed since since_ms; all if it is null),
-- unexplained (version numbers that are neither stored nor proved absent: the number stored in streams; if migration 9,
-- which corrects that number, has not run on this warehouse yet, the highest number that is possible).
SELECT
    account_id,
    region,
    image_name,
    count(*) FILTER (
        etl_deleted_at IS NULL AND (since_ms IS NULL OR epoch_ms(last_modified_time) >= since_ms)
    ) AS recent,
    CASE
        WHEN
            any_value(streams.unexplained) IS NOT NULL
            AND (SELECT max(number) FROM schema_migrations) >= 9
            THEN any_value(streams.unexplained)
        ELSE greatest(
            0,
            any_value(streams.highest_version) - any_value(streams.first_version_seen) + 1
            - count(*) FILTER (streams.life_began_at IS NULL OR creation_time >= streams.life_began_at)
        )
    END AS unexplained
FROM image_versions
JOIN large_streams_arrow USING (account_id, region, image_name)
JOIN streams USING (account_id, region, image_name)
GROUP BY account_id, region, image_name;
