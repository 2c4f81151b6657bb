-- What: deletes the rows of schema_drift that insert_drifted inserts again.
-- Parameters: none; reads the temporary table `drifted`.
-- Returns: nothing.
DELETE FROM schema_drift AS target
USING drifted AS source
WHERE
    target.operation = source.operation
    AND target.member = source.member
    AND target.value IS NOT DISTINCT FROM source.value;
