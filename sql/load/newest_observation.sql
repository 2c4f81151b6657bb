-- What: when the newest run was loaded; the next one's etl_observed_at must be greater.
-- Parameters: none.
-- Returns: finished_ms, UTC epoch milliseconds, null if there is no run.
SELECT epoch_ms(max(finished_at)) AS finished_ms
FROM runs;
