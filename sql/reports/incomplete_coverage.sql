-- What: what one run could not read whole, and why.
-- Parameters: $run_id.
-- Returns: the columns of coverage.
SELECT *
FROM coverage
WHERE etl_run_id = $run_id AND outcome NOT IN ('complete', 'gone', 'rested', 'skipped')
ORDER BY account_id, region, image_name NULLS FIRST;
