-- What: the run that was loaded last before a loaded run.
-- Parameters: $run_id.
-- Returns: etl_run_id, one row; none for the first run of a warehouse.
SELECT before.etl_run_id
FROM runs AS before
JOIN runs AS this ON before.finished_at < this.finished_at
WHERE this.etl_run_id = $run_id
ORDER BY before.finished_at DESC
LIMIT 1;
