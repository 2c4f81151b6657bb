-- What: how many versions live in each scope; what the mass-delete breaker measures against.
-- Parameters: none.
-- Returns: account_id, region, live_versions; one row a scope.
SELECT account_id, region, sum(live_versions)::BIGINT AS live_versions
FROM streams
GROUP BY ALL;
