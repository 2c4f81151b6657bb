-- What: which of these runs are loaded already, whole or in part.
-- Parameters: $run_ids, a list.
-- Returns: etl_run_id, finished_ms (of its last load, UTC epoch milliseconds), is_whole (whether nothing of it is still
-- to be loaded), one row for each that is.
SELECT etl_run_id, epoch_ms(finished_at) AS finished_ms, outcome NOT IN ('running', 'interrupted') AS is_whole
FROM runs
WHERE etl_run_id IN (SELECT unnest($run_ids::VARCHAR[]));
