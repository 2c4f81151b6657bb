-- What: says of runs that something of them is still to be loaded, and is in no landing any more.
-- Parameters: $run_ids, the runs that may still go on.
-- Returns: nothing. One that goes on nevertheless, from another landing, is running again with its next part.
UPDATE runs
SET outcome = 'interrupted'
WHERE outcome = 'running' AND etl_run_id NOT IN (SELECT unnest($run_ids::VARCHAR[]));
