-- What: takes away the run's own record, as the part before wrote it; insert_run writes it anew.
-- Parameters: $run_id.
-- Returns: nothing.
DELETE FROM runs
WHERE etl_run_id = $run_id;
