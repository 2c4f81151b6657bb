-- What: sets running runs to interrupted if they are no longer in the landing folder, so that no further part of them
-- is expected.
-- Parameters: $run_ids, the runs that may still go on.
-- Returns: nothing. A run that goes on from another landing folder is running again with its next part.
UPDATE runs
SET outcome = 'interrupted'
WHERE outcome = 'running' AND etl_run_id NOT IN (SELECT unnest($run_ids::VARCHAR[]));
