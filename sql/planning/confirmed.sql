-- What: what the last runs proved of each stream; what rest, and the end of a hint, are decided on.
-- Grain: one row per stream.
-- Parameters: $since (an instant: only runs that were loaded since then count).
-- Returns: account_id, region, image_name, t0_ms (T0 of the last complete listing; null if a later run read it without
-- accepting that), full_ms (that of the last complete full one), passing (whether the image or a live version is in a
-- state that will not last), creation_ms, modified_ms, image_status (what is stored of the image).
WITH recent AS (
    SELECT etl_run_id, finished_at
    FROM runs
    WHERE finished_at >= $since::TIMESTAMPTZ
),
looked AS (
    SELECT
        coverage.account_id,
        coverage.region,
        coverage.image_name,
        arg_max(coverage.outcome, recent.finished_at) AS outcome,
        max(coverage.t0) FILTER (coverage.outcome = 'complete') AS t0,
        max(coverage.t0) FILTER (coverage.outcome = 'complete' AND coverage.listing = 'full') AS full_t0,
        max(coverage.t0) FILTER (coverage.outcome <> 'complete') AS doubted_t0
    FROM coverage
    JOIN recent USING (etl_run_id)
    WHERE coverage.image_name IS NOT NULL
    GROUP BY coverage.account_id, coverage.region, coverage.image_name
),
passing AS (
    SELECT DISTINCT account_id, region, image_name
    FROM image_versions
    WHERE etl_deleted_at IS NULL AND image_version_status NOT IN ('CREATED', 'CREATE_FAILED', 'DELETE_FAILED')
)
SELECT
    looked.account_id,
    looked.region,
    looked.image_name,
    CASE
        WHEN looked.outcome = 'complete' AND (looked.doubted_t0 IS NULL OR looked.doubted_t0 <= looked.t0)
            THEN epoch_ms(looked.t0)
    END AS t0_ms,
    epoch_ms(looked.full_t0) AS full_ms,
    passing.image_name IS NOT NULL
    OR images.image_status NOT IN (
        'CREATED', 'CREATE_FAILED', 'UPDATE_FAILED', 'DELETE_FAILED'
    ) AS passing,
    epoch_ms(images.creation_time) AS creation_ms,
    epoch_ms(images.last_modified_time) AS modified_ms,
    images.image_status
FROM looked
LEFT JOIN passing USING (account_id, region, image_name)
LEFT JOIN images USING (account_id, region, image_name);
