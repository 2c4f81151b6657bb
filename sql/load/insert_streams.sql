-- What: writes the streams whose row is new or says something new.
-- Parameters: $run_id.
-- Returns: nothing; runs after delete_streams.
INSERT INTO streams BY NAME
SELECT *, $run_id AS etl_run_id
FROM streams_after
ORDER BY account_id, region, image_name;
