-- What: the newest row of coverage of each stream in the scopes of this load.
-- Parameters: none; reads the registered Arrow table `scopes_arrow`.
-- Returns: nothing; makes the temporary table `covered_before`, one row per stream. If a later run has no row for the
-- stream, the stream was read with the same result, or it rested: the scope's row of that run says which.
CREATE OR REPLACE TEMP TABLE covered_before AS
SELECT unnest(newest)
FROM (
    SELECT arg_max(coverage, coverage.loaded_at) AS newest
    FROM coverage
    SEMI JOIN scopes_arrow AS scopes USING (account_id, region)
    WHERE coverage.image_name IS NOT NULL
    GROUP BY coverage.account_id, coverage.region, coverage.image_name
);
