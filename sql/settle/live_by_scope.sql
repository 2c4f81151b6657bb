-- What: the number of live versions in each scope, with which the mass-delete breaker compares the deletions.
-- Parameters: none.
-- Returns: account_id, region, live_versions; one row per scope.
SELECT account_id, region, sum(live_versions)::BIGINT AS live_versions
FROM streams
GROUP BY ALL;
