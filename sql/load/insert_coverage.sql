-- What: what the run proved: one row a stream, and one a scope (image_name null) for its list of images.
-- Parameters: $run_id.
-- Returns: nothing; appends to coverage. Runs after insert_streams.
INSERT INTO coverage BY NAME
SELECT
    $run_id AS etl_run_id,
    source.* EXCLUDE (watermark),
    target.watermark
FROM covered_arrow AS source
LEFT JOIN streams AS target USING (account_id, region, image_name)
ORDER BY source.account_id, source.region, source.image_name NULLS FIRST;
