-- What: takes away the accounts that insert_accounts writes anew, where they differ.
-- Parameters: none; reads the registered Arrow table `accounts_arrow`.
-- Returns: nothing.
DELETE FROM scope_accounts AS target
USING accounts_arrow AS source
WHERE
    target.access = source.access
    AND target.region = source.region
    AND target.account_id <> source.account_id;
