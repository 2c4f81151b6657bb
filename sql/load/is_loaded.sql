-- What: which of the given runs are loaded, completely or in part.
-- Parameters: $run_ids, a list.
-- Returns: etl_run_id, finished_ms (when its last part was loaded, UTC epoch milliseconds), is_whole (whether nothing
-- of it is left to load); one row per loaded run.
SELECT etl_run_id, epoch_ms(finished_at) AS finished_ms, outcome NOT IN ('running', 'interrupted') AS is_whole
FROM runs
WHERE etl_run_id IN (SELECT unnest($run_ids::VARCHAR[]));
