-- What: when something was loaded last: the next etl_observed_at must be greater. And what the runs table says of a run
-- and of others that did not end.
-- Parameters: $run_id.
-- Returns: finished_ms (null if there is no run), own_ms (of the run itself, null if no part of it is loaded), both in
-- UTC epoch milliseconds; running (how many others are running).
SELECT
    epoch_ms(max(finished_at)) AS finished_ms,
    epoch_ms(max(finished_at) FILTER (etl_run_id = $run_id)) AS own_ms,
    count(*) FILTER (outcome = 'running' AND etl_run_id <> $run_id) AS running
FROM runs;
