-- What: the rows of schema_drift, as they are after the load, for the unknown values and members that the run found.
-- Parameters: $run_id, $observed_at (UTC); reads the registered Arrow table `drift_arrow`.
-- Returns: nothing; makes the temporary table `drifted`, one row per unknown value or member. Only the last part of a
-- run adds occurrences. Earlier parts store the row without them, so it exists even if the run never ends, and it is
-- new to the first run that counts it.
CREATE OR REPLACE TEMP TABLE drifted AS
SELECT
    source.operation,
    source.member,
    source.value,
    coalesce(target.first_seen_at, $observed_at::TIMESTAMPTZ) AS first_seen_at,
    source.occurrences + coalesce(target.occurrences, 0) AS occurrences,
    $run_id AS etl_run_id,
    coalesce(target.occurrences, 0) = 0 AS is_new
FROM drift_arrow AS source
LEFT JOIN schema_drift AS target
    ON target.operation = source.operation
    AND target.member = source.member
    AND target.value IS NOT DISTINCT FROM source.value;
