-- What: up to when each live image, and each scope's list of images, was read whole, and how the last run that
-- read it ended.
-- Grain: one row per live stream, and one per scope with image_name null for its list of images.
-- Parameters: none.
-- Returns: account_id, region, image_name, covered_until (null if it never was read whole), outcome,
-- error_message, etl_run_id, finished_at, live_versions, hinted_until (the T0 of the list of images of the scope's
-- last run, if the image rested in that: up to then nothing hinted at a change; else covered_until).
WITH covered AS (
    SELECT
        coverage.account_id,
        coverage.region,
        coverage.image_name,
        max(coverage.t0) FILTER (coverage.outcome = 'complete') AS covered_until,
        arg_max(coverage.outcome, runs.finished_at) AS outcome,
        arg_max_null(coverage.error_message, runs.finished_at) AS error_message,
        arg_max(coverage.etl_run_id, runs.finished_at) AS etl_run_id,
        max(runs.finished_at) AS finished_at,
        arg_max(coverage.rested, runs.finished_at) AS rested
    FROM coverage
    JOIN runs USING (etl_run_id)
    GROUP BY coverage.account_id, coverage.region, coverage.image_name
)
SELECT
    covered.* EXCLUDE (rested),
    coalesce(streams.live_versions, 0) AS live_versions,
    CASE
        WHEN scope.rested > 0 AND covered.etl_run_id <> scope.etl_run_id THEN scope.covered_until
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
WHERE covered.image_name IS NULL OR (images.image_name IS NOT NULL AND images.etl_deleted_at IS NULL)
ORDER BY covered.account_id, covered.region, covered.image_name NULLS FIRST;
