-- What: adds the versions whose details changed to the counts of scopes that are loaded already.
-- Parameters: $run_id; reads the registered Arrow table `counted_arrow`.
-- Returns: nothing; updates coverage.
UPDATE coverage AS target
SET updated = target.updated + source.updated
FROM counted_arrow AS source
WHERE
    target.etl_run_id = $run_id
    AND target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name IS NULL;
