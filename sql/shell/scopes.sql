-- What: the known scopes, for the completion of the command line.
-- Grain: one row per account and region.
-- Parameters: none.
-- Returns: scope, as ACCOUNT/REGION.
SELECT DISTINCT account_id || '/' || region AS scope
FROM streams
ORDER BY scope;
