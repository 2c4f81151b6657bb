-- What: updates the run's rows of coverage with the results of the details that were read after the rows were
-- written.
-- Parameters: $run_id; reads the registered Arrow table `detailed_arrow`, which has the results of the run so far.
-- Returns: nothing; updates coverage.
UPDATE coverage AS target
SET details = source.details, detailed = source.detailed, details_error = source.details_error
FROM detailed_arrow AS source
WHERE
    target.etl_run_id = $run_id
    AND target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name;
