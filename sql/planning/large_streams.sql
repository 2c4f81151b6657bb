-- What: the stored facts that decide how many calls the listings of streams of more than one page take.
-- Parameters: none; reads the relation `large_streams_arrow` (account_id, region, image_name, since_ms).
-- Returns: account_id, region, image_name, recent (live versions changed since since_ms; all if it is null),
-- unexplained (as in streams).
SELECT
    account_id,
    region,
    image_name,
    count(*) FILTER (
        etl_deleted_at IS NULL AND (since_ms IS NULL OR epoch_ms(last_modified_time) >= since_ms)
    ) AS recent,
    any_value(streams.unexplained) AS unexplained
FROM image_versions
JOIN large_streams_arrow USING (account_id, region, image_name)
JOIN streams USING (account_id, region, image_name)
GROUP BY account_id, region, image_name;
