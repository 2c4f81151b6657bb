-- What: what the last runs proved about each stream; decides which images may rest, and which hints are settled.
-- Grain: one row per stream that was ever accepted.
-- Parameters: none.
-- Returns: account_id, region, image_name, t0_ms (T0 of the last complete listing; null if a later listing was not
-- accepted), loaded_ms (when that listing was loaded), full_ms (T0 of the last complete full listing), passing (whether
-- the image or a live version is in a passing status), creation_ms, modified_ms, image_status (the stored times and
-- status of the image).
WITH own AS (
    -- Each stream's own rows of coverage. accepted_at is the newest accepted row; later runs without a row may repeat it.
    SELECT
        account_id,
        region,
        image_name,
        max(loaded_at) AS newest_at,
        max(loaded_at) FILTER (outcome = 'complete') AS accepted_at,
        arg_max(listing, loaded_at) FILTER (outcome = 'complete') AS listing,
        max(t0) FILTER (outcome = 'complete') AS t0,
        arg_max(loaded_at, t0) FILTER (outcome = 'complete') AS t0_loaded_at,
        max(t0) FILTER (outcome = 'complete' AND listing = 'full') AS full_t0,
        max(loaded_at) FILTER (outcome NOT IN ('complete', 'rested', 'skipped')) AS doubted_at,
        max(t0) FILTER (outcome NOT IN ('complete', 'rested', 'skipped')) AS doubted_t0
    FROM coverage
    WHERE image_name IS NOT NULL
    GROUP BY account_id, region, image_name
),
ended AS (
    SELECT own.account_id, own.region, own.image_name, min(coverage.loaded_at) AS ended_at
    FROM (FROM own WHERE accepted_at < newest_at) AS own
    JOIN coverage
        ON coverage.account_id = own.account_id
        AND coverage.region = own.region
        AND coverage.image_name = own.image_name
        AND coverage.loaded_at > own.accepted_at
    GROUP BY own.account_id, own.region, own.image_name
),
looked AS (
    -- Adds the newest run that repeated the accepted row.
    SELECT
        own.account_id,
        own.region,
        own.image_name,
        own.accepted_at,
        own.doubted_at,
        own.doubted_t0,
        CASE WHEN list.loaded_at > own.accepted_at THEN greatest(own.t0, list.t0) ELSE own.t0 END AS t0,
        CASE
            WHEN list.loaded_at > own.accepted_at AND list.t0 >= own.t0 THEN list.loaded_at ELSE own.t0_loaded_at
        END AS loaded_at,
        CASE
            WHEN list.loaded_at > own.accepted_at AND own.listing = 'full' THEN greatest(own.full_t0, list.t0)
            ELSE own.full_t0
        END AS full_t0
    FROM (
        SELECT own.*, coalesce(ended.ended_at, '9999-01-01'::TIMESTAMPTZ) AS ended_at
        FROM own
        LEFT JOIN ended USING (account_id, region, image_name)
        WHERE own.accepted_at IS NOT NULL
    ) AS own
    ASOF LEFT JOIN (FROM coverage WHERE image_name IS NULL AND others = 'complete') AS list
        ON list.account_id = own.account_id AND list.region = own.region AND own.ended_at > list.loaded_at
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
        WHEN looked.doubted_at IS NULL
            OR (
                looked.doubted_at < looked.accepted_at
                AND (looked.doubted_t0 IS NULL OR looked.doubted_t0 <= looked.t0)
            )
            THEN epoch_ms(looked.t0)
    END AS t0_ms,
    epoch_ms(looked.loaded_at) AS loaded_ms,
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
