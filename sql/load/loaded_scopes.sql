-- What: the scopes of a run that are loaded already, with the counts of their load.
-- Parameters: $run_id.
-- Returns: account_id, region, inserted, updated, unchanged, reappeared, deleted; one row per scope. The counts are
-- null for a scope that could not be read; deleted is also null if deletions were not evaluated.
SELECT account_id, region, inserted, updated, unchanged, reappeared, deleted
FROM coverage
WHERE etl_run_id = $run_id AND image_name IS NULL
ORDER BY account_id, region;
