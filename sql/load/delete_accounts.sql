-- What: deletes the stored accounts that differ from those of this run; insert_accounts inserts the new ones.
-- Parameters: none; reads the registered Arrow table `accounts_arrow`.
-- Returns: nothing.
DELETE FROM scope_accounts AS target
USING accounts_arrow AS source
WHERE
    target.access = source.access
    AND target.region = source.region
    AND target.account_id <> source.account_id;
