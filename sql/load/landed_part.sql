-- What: the landed versions of a part of a run, whose segments also have rows of other scopes; see landed.sql.
-- Parameters: none; reads the variable `segments`, the temporary table `repeated` and the registered Arrow table
-- `scopes_arrow`.
-- Returns: nothing; makes the temporary view `landed`.
CREATE OR REPLACE TEMP VIEW landed AS
SELECT * EXCLUDE (etl_reading, etl_page)
FROM read_parquet(getvariable('segments'))
SEMI JOIN scopes_arrow USING (account_id, region)
WHERE hash(account_id, region, image_name, version) NOT IN (FROM repeated)
UNION ALL
SELECT * EXCLUDE (etl_reading, etl_page)
FROM read_parquet(getvariable('segments'))
SEMI JOIN scopes_arrow USING (account_id, region)
WHERE hash(account_id, region, image_name, version) IN (FROM repeated)
QUALIFY row_number() OVER (
    PARTITION BY account_id, region, image_name, version
    ORDER BY creation_time DESC, last_modified_time DESC, etl_reading DESC, etl_page DESC
) = 1;
