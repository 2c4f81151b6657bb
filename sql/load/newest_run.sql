-- What: the run that was loaded last, completely or in part; the next plan is based on it.
-- Parameters: $besides, a run that is left out; null for none.
-- Returns: etl_run_id, finished_ms (UTC epoch milliseconds); no row before the first load.
SELECT etl_run_id, epoch_ms(finished_at) AS finished_ms
FROM runs
WHERE etl_run_id IS DISTINCT FROM $besides
ORDER BY finished_at DESC
LIMIT 1;
