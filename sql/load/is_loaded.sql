-- What: which of these runs are loaded already.
-- Parameters: $run_ids, a list.
-- Returns: etl_run_id, one row for each that is.
SELECT etl_run_id
FROM runs
WHERE etl_run_id IN (SELECT unnest($run_ids::VARCHAR[]));
