-- What: takes a scope's deletions out of this load: there are too many to be believed.
-- Parameters: $account_id, $region.
-- Returns: nothing.
DELETE FROM deleted
WHERE account_id = $account_id AND region = $region;
