-- What: up to when each live stream, and each scope's list of images, is covered, with its outcome in the last run
-- that read it. Streams whose image is gone are left out, since they do not change any more.
-- Grain: one row per live stream, and one per scope with image_name null for its list of images.
-- Parameters: none.
-- Returns: account_id, region, image_name, covered_until (null if it never was read whole), outcome,
-- error_message, etl_run_id, finished_at, live_versions, hinted_until (if the image rested in the scope's
-- last run, T0 of that run's list of images: up to then no hint was about a change; else covered_until).
WITH own AS (
    -- Each stream's own rows of coverage. accepted_at is the newest accepted row; later runs without a row may repeat it.
    SELECT
        account_id,
        region,
        image_name,
        max(loaded_at) AS newest_at,
        arg_max(outcome, loaded_at) = 'skipped' AS is_skipped,
        max(loaded_at) FILTER (outcome = 'complete') AS accepted_at,
        max(t0) FILTER (outcome = 'complete') AS covered_until,
        arg_max(outcome, loaded_at) FILTER (outcome NOT IN ('rested', 'skipped')) AS outcome,
        arg_max_null(error_message, loaded_at) FILTER (outcome NOT IN ('rested', 'skipped')) AS error_message,
        arg_max(etl_run_id, loaded_at) FILTER (outcome NOT IN ('rested', 'skipped')) AS etl_run_id,
        max(loaded_at) FILTER (outcome NOT IN ('rested', 'skipped')) AS finished_at,
        arg_max(rested, loaded_at) AS rested
    FROM coverage
    GROUP BY account_id, region, image_name
),
ended AS (
    SELECT own.account_id, own.region, own.image_name, min(coverage.loaded_at) AS ended_at
    FROM (FROM own WHERE image_name IS NOT NULL AND accepted_at < newest_at) AS own
    JOIN coverage
        ON coverage.account_id = own.account_id
        AND coverage.region = own.region
        AND coverage.image_name = own.image_name
        AND coverage.loaded_at > own.accepted_at
    GROUP BY own.account_id, own.region, own.image_name
),
covered AS (
    -- Takes the newest run that repeated the accepted row, if there is one, instead of older rows.
    SELECT
        own.account_id,
        own.region,
        own.image_name,
        own.is_skipped,
        own.rested,
        list.loaded_at > own.accepted_at AS is_repeated,
        CASE WHEN is_repeated THEN greatest(own.covered_until, list.t0) ELSE own.covered_until END AS covered_until,
        is_repeated AND list.loaded_at > own.finished_at AS is_newest,
        CASE WHEN is_newest THEN 'complete' ELSE own.outcome END AS outcome,
        CASE WHEN is_newest THEN NULL ELSE own.error_message END AS error_message,
        CASE WHEN is_newest THEN list.etl_run_id ELSE own.etl_run_id END AS etl_run_id,
        CASE WHEN is_newest THEN list.loaded_at ELSE own.finished_at END AS finished_at
    FROM (
        SELECT own.*, coalesce(ended.ended_at, '9999-01-01'::TIMESTAMPTZ) AS ended_at
        FROM own
        LEFT JOIN ended USING (account_id, region, image_name)
    ) AS own
    ASOF LEFT JOIN (FROM coverage WHERE image_name IS NULL AND others = 'complete') AS list
        ON list.account_id = own.account_id AND list.region = own.region AND own.ended_at > list.loaded_at
)
SELECT
    covered.account_id,
    covered.region,
    covered.image_name,
    covered.covered_until,
    covered.outcome,
    covered.error_message,
    covered.etl_run_id,
    covered.finished_at,
    coalesce(streams.live_versions, 0) AS live_versions,
    CASE
        WHEN scope.rested > 0 AND covered.etl_run_id <> scope.etl_run_id AND NOT covered.is_skipped
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
WHERE covered.image_name IS NULL OR (images.image_name IS NOT NULL AND images.etl_deleted_at IS NULL)
ORDER BY covered.account_id, covered.region, covered.image_name NULLS FIRST;
