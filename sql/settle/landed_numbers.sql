-- What: the version numbers that each reading of a stream has landed.
-- Parameters: $segments, the paths of the run's segments.
-- Returns: nothing; makes the temporary table `landed_numbers`, one row per stream (as its `place` in the temporary
-- table `listed`), number and reading, with the CreationTime of the newest incarnation.
CREATE OR REPLACE TEMP TABLE landed_numbers AS
SELECT listed.place, source.version, source.etl_reading, max(source.creation_time) AS creation_time
FROM read_parquet($segments) AS source
JOIN listed USING (account_id, region, image_name)
GROUP BY listed.place, source.version, source.etl_reading;
