-- What: stores what the run proved: one row per scope (image_name null), and one per stream with something new.
-- Parameters: $run_id, $loaded_at (UTC), $narrowed (whether the run was limited to some images: then `others` is
-- null, since the run says nothing about the other images).
-- Returns: nothing; appends to coverage. Reads the temporary table `stream_coverage` and the registered Arrow tables
-- `scopes_arrow` and `counted_arrow`. In a scope's row, `others` says whether the streams without a row were read or
-- rested, whichever are more.
INSERT INTO coverage BY NAME
WITH scopes AS (
    SELECT
        source.* EXCLUDE (
            comparable, highest_version, starts_at, held_back, oldest_at, missing, streams, others, t1
        ),
        coalesce(sums.streams, 0) AS streams,
        CASE
            WHEN $narrowed OR source.outcome <> 'complete' THEN NULL
            WHEN sums.resting > sums.repeating THEN 'rested'
            ELSE 'complete'
        END AS others,
        sums.t1,
        counted.inserted,
        counted.updated,
        counted.unchanged,
        counted.reappeared,
        counted.deleted
    FROM scopes_arrow AS source
    LEFT JOIN counted_arrow AS counted USING (account_id, region)
    LEFT JOIN (
        SELECT
            account_id,
            region,
            count(*) FILTER (listing <> 'none') AS streams,
            count(*) FILTER (outcome = 'rested') AS resting,
            count(*) FILTER (outcome = 'complete' AND repeats) AS repeating,
            max(t0) FILTER (outcome = 'complete' AND repeats) AS t1
        FROM stream_coverage
        GROUP BY account_id, region
    ) AS sums USING (account_id, region)
)
SELECT $run_id AS etl_run_id, *, $loaded_at::TIMESTAMPTZ AS loaded_at
FROM (
    SELECT *
    FROM scopes
    UNION ALL BY NAME
    SELECT stream_coverage.* EXCLUDE (repeats, streams, others, t1)
    FROM stream_coverage
    LEFT JOIN (SELECT account_id, region, others FROM scopes) AS scope USING (account_id, region)
    WHERE
        NOT (stream_coverage.repeats AND stream_coverage.outcome IS NOT DISTINCT FROM scope.others)
        AND (stream_coverage.listing <> 'none' OR scope.others IS NOT NULL)
)
ORDER BY account_id, region, image_name NULLS FIRST;
