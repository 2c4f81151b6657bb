-- What: up to when each live stream, and each scope's list of images, is covered, and what became of it in the
-- last run that read it. Streams whose image is gone are left out: nothing of them changes any more.
-- Grain: one row per live stream, and one per scope with image_name null for its list of images.
-- Parameters: none.
-- Returns: account_id, region, image_name, covered_until (null if it never was read whole), outcome,
-- error_message, etl_run_id, finished_at, live_versions, hinted_until (the T0 of the list of images of the scope's
-- last run, if the image rested in that: up to then nothing hinted at a change; else covered_until).
WITH dated AS (
    SELECT coverage.*, runs.finished_at
    FROM coverage
    JOIN runs USING (etl_run_id)
),
told AS (
    SELECT
        *,
        lead(finished_at) OVER (
            PARTITION BY account_id, region, image_name ORDER BY finished_at
        ) AS next_at
    FROM dated
    WHERE image_name IS NOT NULL
),
lists AS (
    SELECT account_id, region, etl_run_id, t0, finished_at
    FROM dated
    WHERE image_name IS NULL AND others = 'complete'
),
repeated AS (
    -- The newest run that had nothing to say of the stream after each of its rows.
    SELECT
        told.account_id,
        told.region,
        told.image_name,
        told.outcome,
        told.error_message,
        list.etl_run_id,
        list.t0,
        list.finished_at
    FROM (FROM told WHERE outcome = 'complete') AS told
    ASOF JOIN lists AS list
        ON list.account_id = told.account_id
        AND list.region = told.region
        AND coalesce(told.next_at, '9999-01-01'::TIMESTAMPTZ) > list.finished_at
    WHERE list.finished_at > told.finished_at
),
covered AS (
    SELECT
        account_id,
        region,
        image_name,
        max(t0) FILTER (outcome = 'complete') AS covered_until,
        arg_max(outcome, finished_at) AS outcome,
        arg_max_null(error_message, finished_at) AS error_message,
        arg_max(etl_run_id, finished_at) AS etl_run_id,
        max(finished_at) AS finished_at,
        arg_max(rested, finished_at) AS rested
    FROM (
        SELECT account_id, region, image_name, outcome, error_message, etl_run_id, t0, finished_at, rested
        FROM dated
        WHERE outcome NOT IN ('rested', 'skipped')
        UNION ALL BY NAME
        FROM repeated
    )
    GROUP BY account_id, region, image_name
),
skipped AS (
    SELECT account_id, region, image_name
    FROM told
    WHERE outcome = 'skipped' AND next_at IS NULL
)
SELECT
    covered.* EXCLUDE (rested),
    coalesce(streams.live_versions, 0) AS live_versions,
    CASE
        WHEN scope.rested > 0 AND covered.etl_run_id <> scope.etl_run_id AND skipped.image_name IS NULL
            THEN scope.covered_until
        ELSE covered.covered_until
    END AS hinted_until
FROM covered
LEFT JOIN covered AS scope
    ON scope.account_id = covered.account_id AND scope.region = covered.region AND scope.image_name IS NULL
LEFT JOIN streams
    ON streams.account_id = covered.account_id
    AND streams.region = covered.region
    AND streams.image_name = covered.image_name
LEFT JOIN images
    ON images.account_id = covered.account_id
    AND images.region = covered.region
    AND images.image_name = covered.image_name
LEFT JOIN skipped
    ON skipped.account_id = covered.account_id
    AND skipped.region = covered.region
    AND skipped.image_name = covered.image_name
WHERE covered.image_name IS NULL OR (images.image_name IS NOT NULL AND images.etl_deleted_at IS NULL)
ORDER BY covered.account_id, covered.region, covered.image_name NULLS FIRST;
