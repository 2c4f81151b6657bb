-- What: the run that was loaded last, which the next plan rests on.
-- Parameters: none.
-- Returns: etl_run_id; no row before the first load.
SELECT etl_run_id
FROM runs
ORDER BY finished_at DESC
LIMIT 1;
