-- What: when the newest load was, since the next etl_observed_at must be greater, and what the table runs says about
-- one run and about other unfinished runs.
-- Parameters: $run_id.
-- Returns: finished_ms (of the newest load; null if there is no run), own_ms (of the run itself; null if no part of
-- it is loaded), both in UTC epoch milliseconds; running (how many other runs are running).
SELECT
    epoch_ms(max(finished_at)) AS finished_ms,
    epoch_ms(max(finished_at) FILTER (etl_run_id = $run_id)) AS own_ms,
    count(*) FILTER (outcome = 'running' AND etl_run_id <> $run_id) AS running
FROM runs;
