-- What: the version numbers of each stream's last reading, and of the reading before it.
-- Parameters: $segments, the paths of the run's segments.
-- Returns: nothing; makes the temporary table `landed_numbers`, one row a stream, by its place in the temporary
-- table `listed`, and number and reading.
CREATE OR REPLACE TEMP TABLE landed_numbers AS
SELECT DISTINCT listed.place, source.version, source.etl_reading
FROM read_parquet($segments) AS source
JOIN listed USING (account_id, region, image_name)
WHERE source.etl_reading BETWEEN listed.readings - 1 AND listed.readings;
