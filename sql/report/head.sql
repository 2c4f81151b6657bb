-- What: which state of the warehouse a report shows: its newest run, and when the first one ended.
-- Parameters: none.
-- Returns: etl_run_id, outcome, mode, finished_at, first_finished_at, runs; no row before the first run.
SELECT
    arg_max(etl_run_id, finished_at) AS etl_run_id,
    arg_max(outcome, finished_at) AS outcome,
    arg_max(mode, finished_at) AS mode,
    max(finished_at) AS finished_at,
    min(finished_at) AS first_finished_at,
    count(*) AS runs
FROM runs
HAVING count(*) > 0;
