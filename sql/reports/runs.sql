-- What: the last runs, the latest first, with their cost and the number of streams that they could not read.
-- Parameters: $run (a run's id, its beginning or its end; empty for all), $limit (most rows).
-- Returns: the columns of runs, seconds (from its start to its load), calls (of all operations), scopes (how
-- many it read), incomplete_streams, rested (images that were not listed, since no hint was about them).
SELECT
    runs.*,
    (epoch_ms(runs.finished_at) - epoch_ms(runs.started_at)) / 1000 AS seconds,
    runs.list_images_calls + runs.list_image_versions_calls + runs.describe_image_calls
    + runs.describe_image_version_calls + runs.list_aliases_calls AS calls,
    coalesce(covered.scopes, 0) AS scopes,
    coalesce(covered.incomplete_streams, 0) AS incomplete_streams,
    coalesce(covered.rested, 0) AS rested
FROM runs
LEFT JOIN (
    SELECT
        etl_run_id,
        count(DISTINCT (account_id, region)) AS scopes,
        count(*) FILTER (outcome NOT IN ('complete', 'gone', 'rested', 'skipped')) AS incomplete_streams,
        sum(rested)::BIGINT AS rested
    FROM coverage
    GROUP BY etl_run_id
) AS covered USING (etl_run_id)
WHERE starts_with(runs.etl_run_id, $run) OR ends_with(runs.etl_run_id, $run)
ORDER BY runs.finished_at DESC
LIMIT $limit::BIGINT;
