-- What: when the newest run was loaded, and when the newest run before that.
-- Grain: one row.
-- Parameters: $run_id (the run that has just been loaded; null for none).
-- Returns: newest, before; null if there is no run.
SELECT
    max(finished_at) AS newest,
    max(finished_at) FILTER (etl_run_id IS DISTINCT FROM $run_id) AS before
FROM runs;
