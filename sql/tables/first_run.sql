-- What: the sync that was loaded first, by which a lake table knows the warehouse that fills it.
-- Parameters: none.
-- Returns: etl_run_id; no row before the first sync.
SELECT etl_run_id
FROM runs
ORDER BY finished_at, etl_run_id
LIMIT 1;
