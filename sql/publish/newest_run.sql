-- What: the sync that was loaded last; the warehouse shows the state as of that sync.
-- Parameters: none.
-- Returns: etl_run_id, finished_ms (UTC epoch milliseconds); no row before the first sync.
SELECT etl_run_id, epoch_ms(finished_at) AS finished_ms
FROM runs
ORDER BY finished_at DESC
LIMIT 1;
