-- What: the streams of which a listing was accepted that began after this run did: they are known better already.
-- Parameters: none; reads the temporary table `listed` and the registered Arrow table `scopes_arrow`.
-- Returns: nothing; makes the temporary table `outrun`, one row a stream, with the newest such T0. It is empty
-- where runs are loaded in the order in which they read, and of older coverage nothing is looked at.
CREATE OR REPLACE TEMP TABLE outrun AS
SELECT account_id, region, image_name, max(t0) AS accepted_t0
FROM coverage
SEMI JOIN listed USING (account_id, region, image_name)
WHERE
    outcome IN ('complete', 'gone')
    AND t0 > (SELECT min(t0) FROM scopes_arrow)
GROUP BY account_id, region, image_name;
