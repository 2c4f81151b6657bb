-- What: the newest row of coverage of each stream of the scopes whose list of images the run read.
-- Parameters: none; reads the registered Arrow table `scopes_arrow`.
-- Returns: nothing; makes the temporary table `covered_before`, one row a stream. A stream that has no row in a run
-- was read in it as this one says, or rested in it: the scope's row tells which.
CREATE OR REPLACE TEMP TABLE covered_before AS
SELECT unnest(newest)
FROM (
    SELECT arg_max(coverage, coverage.loaded_at) AS newest
    FROM coverage
    SEMI JOIN scopes_arrow AS scopes USING (account_id, region)
    WHERE coverage.image_name IS NOT NULL
    GROUP BY coverage.account_id, coverage.region, coverage.image_name
);
