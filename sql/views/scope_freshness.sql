-- What: how fresh each scope is: the newest run that read it, and what that run could not read.
-- Columns: account_id, region, etl_run_id, finished_at (when the scope was loaded), streams, incomplete_streams,
-- covered_until (the earliest t0 among the scope's complete listings of that run).
CREATE OR REPLACE VIEW scope_freshness AS
SELECT
    coverage.account_id,
    coverage.region,
    coverage.etl_run_id,
    max(coverage.loaded_at) AS finished_at,
    coalesce(max(coverage.streams), 0) AS streams,
    count(coverage.image_name) FILTER (
        coverage.outcome NOT IN ('complete', 'gone', 'rested', 'skipped')
    ) AS incomplete_streams,
    min(coverage.t0) FILTER (coverage.outcome = 'complete') AS covered_until
FROM coverage
GROUP BY coverage.account_id, coverage.region, coverage.etl_run_id
QUALIFY row_number() OVER (
    PARTITION BY coverage.account_id, coverage.region ORDER BY max(coverage.loaded_at) DESC
) = 1;
