-- What: the landed versions of a run, one row per version: its newest incarnation in its newest state.
-- Parameters: none; reads the variable `segments` and the temporary table `repeated`.
-- Returns: nothing; makes the temporary view `landed`. A copy of the segments' rows would cost a third of a load's
-- time, and most of its memory. For the same reason, only the repeated versions are sorted.
CREATE OR REPLACE TEMP VIEW landed AS
SELECT * EXCLUDE (etl_reading, etl_page)
FROM read_parquet(getvariable('segments'))
WHERE hash(account_id, region, image_name, version) NOT IN (FROM repeated)
UNION ALL
SELECT * EXCLUDE (etl_reading, etl_page)
FROM read_parquet(getvariable('segments'))
WHERE hash(account_id, region, image_name, version) IN (FROM repeated)
QUALIFY row_number() OVER (
    PARTITION BY account_id, region, image_name, version
    ORDER BY creation_time DESC, last_modified_time DESC, etl_reading DESC, etl_page DESC
) = 1;
