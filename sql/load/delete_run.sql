-- What: deletes the run's own record, which the previous part wrote; insert_run inserts it again.
-- Parameters: $run_id.
-- Returns: nothing.
DELETE FROM runs
WHERE etl_run_id = $run_id;
