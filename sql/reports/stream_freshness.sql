-- What: up to when each live image, and each scope's list of images, was read whole, and how the last run that
-- read it ended.
-- Grain: one row per live stream, and one per scope with image_name null for its list of images.
-- Parameters: none.
-- Returns: account_id, region, image_name, covered_until (null if it never was read whole), outcome,
-- error_message, etl_run_id, finished_at, live_versions.
WITH covered AS (
    SELECT
        coverage.account_id,
        coverage.region,
        coverage.image_name,
        max(coverage.t0) FILTER (coverage.outcome = 'complete') AS covered_until,
        arg_max(coverage.outcome, runs.finished_at) AS outcome,
        arg_max_null(coverage.error_message, runs.finished_at) AS error_message,
        arg_max(coverage.etl_run_id, runs.finished_at) AS etl_run_id,
        max(runs.finished_at) AS finished_at
    FROM coverage
    JOIN runs USING (etl_run_id)
    GROUP BY coverage.account_id, coverage.region, coverage.image_name
)
SELECT covered.*, coalesce(streams.live_versions, 0) AS live_versions
FROM covered
LEFT JOIN streams USING (account_id, region, image_name)
LEFT JOIN images USING (account_id, region, image_name)
WHERE covered.image_name IS NULL OR (images.image_name IS NOT NULL AND images.etl_deleted_at IS NULL)
ORDER BY covered.account_id, covered.region, covered.image_name NULLS FIRST;
