-- What: says in the run's rows of coverage what was learned of details since they were written.
-- Parameters: $run_id; reads the registered Arrow table `detailed_arrow`, which tells of the whole run so far.
-- Returns: nothing.
UPDATE coverage AS target
SET details = source.details, detailed = source.detailed, details_error = source.details_error
FROM detailed_arrow AS source
WHERE
    target.etl_run_id = $run_id
    AND target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name;
