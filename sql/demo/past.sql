-- What: every state of one version, with its interval.
-- Parameters: $image, $version.
-- Returns: status, change, valid_from, valid_to; one row a state.
SELECT
    image_version_status AS status,
    etl_change AS change,
    etl_valid_from AS valid_from,
    etl_valid_to AS valid_to
FROM image_version_history
WHERE image_name = $image AND version = $version::INTEGER
ORDER BY etl_observed_at;
