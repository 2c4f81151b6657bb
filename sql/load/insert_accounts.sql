-- What: stores the account that each configured profile or role led to in a region, if none is stored.
-- Parameters: $run_id.
-- Returns: nothing; reads the registered Arrow table `accounts_arrow`, runs after delete_accounts.
INSERT INTO scope_accounts BY NAME
SELECT *, $run_id AS etl_run_id
FROM accounts_arrow
ANTI JOIN scope_accounts USING (access, region);
