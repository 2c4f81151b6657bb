-- What: what the run proved: one row a stream, and one a scope (image_name null) for its list of images.
-- Parameters: $run_id.
-- Returns: nothing; appends to coverage. Reads the temporary tables `listed` and `deleted` and the registered
-- Arrow table `scopes_arrow`; runs after insert_streams.
INSERT INTO coverage BY NAME
SELECT
    $run_id AS etl_run_id,
    source.* EXCLUDE (watermark, comparable, highest_version, starts_at, held_back, oldest_at, missing),
    CASE
        WHEN source.outcome = 'gone' OR (source.listing = 'full' AND source.outcome = 'complete')
            THEN coalesce(lost.deleted, 0)
        ELSE lost.deleted
    END AS deleted,
    target.watermark
FROM (
    FROM scopes_arrow
    UNION ALL
    SELECT * EXCLUDE (place, image_created_at, life_began_at)
    FROM listed
) AS source
LEFT JOIN streams AS target USING (account_id, region, image_name)
LEFT JOIN (
    SELECT account_id, region, image_name, count(*) AS deleted
    FROM deleted
    GROUP BY account_id, region, image_name
) AS lost USING (account_id, region, image_name)
ORDER BY source.account_id, source.region, source.image_name NULLS FIRST;
