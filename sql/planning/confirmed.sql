-- What: what the last runs proved of each stream; what rest, and the end of a hint, are decided on.
-- Grain: one row per stream that was ever accepted.
-- Parameters: none.
-- Returns: account_id, region, image_name, t0_ms (T0 of the last complete listing; null if a later run read it without
-- accepting that), full_ms (that of the last complete full one), passing (whether the image or a live version is in a
-- state that will not last), creation_ms, modified_ms, image_status (what is stored of the image).
WITH dated AS (
    SELECT
        coverage.account_id,
        coverage.region,
        coverage.image_name,
        coverage.listing,
        coverage.outcome,
        coverage.others,
        coverage.t0,
        runs.finished_at
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
accepted AS (
    -- With the newest run that had nothing to say of the stream after that row.
    SELECT
        told.account_id,
        told.region,
        told.image_name,
        told.listing,
        told.finished_at,
        CASE WHEN list.finished_at > told.finished_at THEN greatest(told.t0, list.t0) ELSE told.t0 END AS t0
    FROM (FROM told WHERE outcome = 'complete') AS told
    ASOF LEFT JOIN (FROM dated WHERE image_name IS NULL AND others = 'complete') AS list
        ON list.account_id = told.account_id
        AND list.region = told.region
        AND coalesce(told.next_at, '9999-01-01'::TIMESTAMPTZ) > list.finished_at
),
looked AS (
    SELECT
        account_id,
        region,
        image_name,
        max(t0) AS t0,
        max(t0) FILTER (listing = 'full') AS full_t0,
        max(finished_at) AS finished_at
    FROM accepted
    GROUP BY account_id, region, image_name
),
doubted AS (
    SELECT account_id, region, image_name, max(t0) AS t0, max(finished_at) AS finished_at
    FROM told
    WHERE outcome NOT IN ('complete', 'rested', 'skipped')
    GROUP BY account_id, region, image_name
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
        WHEN doubted.image_name IS NULL
            OR (doubted.finished_at < looked.finished_at AND (doubted.t0 IS NULL OR doubted.t0 <= looked.t0))
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
LEFT JOIN doubted USING (account_id, region, image_name)
LEFT JOIN passing USING (account_id, region, image_name)
LEFT JOIN images USING (account_id, region, image_name);
