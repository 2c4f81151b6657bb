-- What: the landed versions of a run in which every listing was read once; see landed.sql.
-- Parameters: $segments, the paths of the run's segments.
-- Returns: nothing; makes the temporary table `landed`.
-- The page loop starts a listing over when it meets a version again, so one reading holds each version once.
CREATE OR REPLACE TEMP TABLE landed AS
SELECT * EXCLUDE (etl_reading, etl_page)
FROM read_parquet($segments);
