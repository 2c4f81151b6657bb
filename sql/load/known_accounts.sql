-- What: the account that each configured profile or role led to in each region.
-- Parameters: none.
-- Returns: access, region, account_id.
SELECT access, region, account_id
FROM scope_accounts;
