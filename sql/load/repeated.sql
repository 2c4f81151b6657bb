-- What: the versions that the run has landed more than once: their listing was read again, or rows moved while it
-- was read.
-- Parameters: none; reads the variable `segments`.
-- Returns: nothing; makes the temporary table `repeated`, one row a version.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT account_id, region, image_name, version
FROM read_parquet(getvariable('segments'))
GROUP BY ALL
HAVING count(*) > 1;
