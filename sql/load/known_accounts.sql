-- What: which account each configured profile or role and region led to.
-- Parameters: none.
-- Returns: access, region, account_id.
SELECT access, region, account_id
FROM scope_accounts;
