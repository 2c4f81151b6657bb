-- What: what schema_drift must say after the run, for what the run met.
-- Parameters: $run_id, $observed_at (UTC); reads the registered Arrow table `drift_arrow`.
-- Returns: nothing; makes the temporary table `drifted`, one row per unknown value or member. What only a part of a run
-- has met has no occurrences yet: whatever becomes of that run, it is there, and new to the run that counts it.
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
