-- What: coverage with a row for every stream that a run read, those too of which the run had nothing to say.
-- Columns: those of coverage but for streams, others and t1. The t0 of a stream that has no row of its
-- own is that of its scope's list of images, and so a lower bound.
CREATE OR REPLACE VIEW coverage_in_full AS
WITH dated AS (
    SELECT coverage.*, runs.finished_at
    FROM coverage
    JOIN runs USING (etl_run_id)
),
streams AS (
    SELECT
        *,
        lead(finished_at) OVER (
            PARTITION BY account_id, region, image_name ORDER BY finished_at
        ) AS next_at
    FROM dated
    WHERE image_name IS NOT NULL
)
SELECT * EXCLUDE (finished_at, streams, others, t1)
FROM dated
WHERE outcome NOT IN ('rested', 'skipped')
UNION ALL BY NAME
SELECT
    list.etl_run_id,
    stream.* EXCLUDE (etl_run_id, t0, finished_at, next_at, streams, others, t1),
    list.t0
FROM streams AS stream
JOIN dated AS list
    ON list.account_id = stream.account_id
    AND list.region = stream.region
    AND list.finished_at > stream.finished_at
    AND list.finished_at < coalesce(stream.next_at, 'infinity'::TIMESTAMPTZ)
WHERE stream.outcome = 'complete' AND list.image_name IS NULL AND list.others = 'complete';
