-- What: coverage with a row for every stream that a run read, also for streams without a row of their own in that run.
-- Columns: those of coverage except loaded_at, inserted, updated, unchanged, reappeared, streams, others and t1. For a
-- stream without a row of its own, t0 is that of its scope's list of images, which is a lower bound.
CREATE OR REPLACE VIEW coverage_in_full AS
WITH streams AS (
    SELECT
        *,
        lead(loaded_at) OVER (
            PARTITION BY account_id, region, image_name ORDER BY loaded_at
        ) AS next_at
    FROM coverage
    WHERE image_name IS NOT NULL
)
SELECT * EXCLUDE (loaded_at, inserted, updated, unchanged, reappeared, streams, others, t1)
FROM coverage
WHERE outcome NOT IN ('rested', 'skipped')
UNION ALL BY NAME
SELECT
    list.etl_run_id,
    stream.* EXCLUDE (
        etl_run_id, t0, loaded_at, next_at, inserted, updated, unchanged, reappeared, streams, others, t1
    ),
    list.t0
FROM streams AS stream
JOIN coverage AS list
    ON list.account_id = stream.account_id
    AND list.region = stream.region
    AND list.loaded_at > stream.loaded_at
    AND list.loaded_at < coalesce(stream.next_at, 'infinity'::TIMESTAMPTZ)
WHERE stream.outcome = 'complete' AND list.image_name IS NULL AND list.others = 'complete';
