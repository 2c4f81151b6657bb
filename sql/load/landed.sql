-- What: the landed versions of a run, one row a version: its newest incarnation in its newest state.
-- Parameters: $segments, the paths of the run's segments.
-- Returns: nothing; makes the temporary table `landed`.
-- The same version comes twice when a listing was read again, or when rows moved while it was read. Only those
-- are sorted: to sort all would cost half of a load's memory.
CREATE OR REPLACE TEMP TABLE landed AS
WITH twice AS MATERIALIZED (
    SELECT account_id, region, image_name, version
    FROM read_parquet($segments)
    GROUP BY ALL
    HAVING count(*) > 1
)
SELECT * EXCLUDE (etl_reading, etl_page)
FROM read_parquet($segments)
ANTI JOIN twice USING (account_id, region, image_name, version)
UNION ALL
SELECT * EXCLUDE (etl_reading, etl_page)
FROM (
    FROM read_parquet($segments)
    SEMI JOIN twice USING (account_id, region, image_name, version)
)
QUALIFY row_number() OVER (
    PARTITION BY account_id, region, image_name, version
    ORDER BY creation_time DESC, last_modified_time DESC, etl_reading DESC, etl_page DESC
) = 1;
