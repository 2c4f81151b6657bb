-- What: the scopes of a run that are loaded already, and what that did.
-- Parameters: $run_id.
-- Returns: account_id, region, inserted, updated, unchanged, reappeared, deleted (null of a scope that could not be
-- read; deleted also where it was not evaluated); one row a scope.
SELECT account_id, region, inserted, updated, unchanged, reappeared, deleted
FROM coverage
WHERE etl_run_id = $run_id AND image_name IS NULL
ORDER BY account_id, region;
