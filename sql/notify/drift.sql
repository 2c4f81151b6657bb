-- What: the values and members of AWS's answers that were first seen after an instant.
-- Grain: one row per value or member.
-- Parameters: $since.
-- Returns: operation, member, value, first_seen_at.
SELECT operation, member, value, first_seen_at
FROM schema_drift
WHERE first_seen_at > $since::TIMESTAMPTZ
ORDER BY ALL;
