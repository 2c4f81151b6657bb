-- What: every state of each version of an image, with its interval at AWS.
-- Parameters: $image (name of the image, in every account and region).
-- Columns: account_id, region, image_name, version, image_version_status, failure_reason, valid_from, valid_to,
-- learned_at, change.
SELECT
    account_id,
    region,
    image_name,
    version,
    image_version_status,
    failure_reason,
    etl_valid_from AS valid_from,
    etl_valid_to AS valid_to,
    etl_observed_at AS learned_at,
    etl_change AS change
FROM image_version_history
WHERE image_name = $image
ORDER BY account_id, region, image_name, version, etl_observed_at;
