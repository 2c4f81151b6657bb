-- What: inserts the rows of streams that are new or changed.
-- Parameters: $run_id.
-- Returns: nothing; runs after delete_streams.
INSERT INTO streams BY NAME
SELECT *, $run_id AS etl_run_id
FROM streams_after
ORDER BY account_id, region, image_name;
