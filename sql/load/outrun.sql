-- What: the streams for which another run has an accepted listing that began after this run: newer data is stored.
-- Parameters: none; reads the temporary tables `listed` and `read_since` and the registered Arrow table
-- `scopes_arrow`.
-- Returns: nothing; makes the temporary table `outrun`, one row per stream. The T0 of the newest such listing is not
-- before accepted_t0, and not after accepted_until.
CREATE OR REPLACE TEMP TABLE outrun AS
SELECT account_id, region, image_name, max(t0) AS accepted_t0, max(t1) AS accepted_until
FROM read_since
SEMI JOIN listed USING (account_id, region, image_name)
WHERE
    outcome IN ('complete', 'gone')
    AND t1 > (SELECT min(t0) FROM scopes_arrow)
GROUP BY account_id, region, image_name;
