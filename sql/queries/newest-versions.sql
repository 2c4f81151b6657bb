-- What: the newest version of every image, with its status.
-- Parameters: none.
-- Columns: account_id, region, image_name, version, image_version_status, failure_reason, creation_time,
-- last_modified_time.
SELECT
    account_id,
    region,
    image_name,
    version,
    image_version_status,
    failure_reason,
    creation_time,
    last_modified_time
FROM current_image_versions
QUALIFY row_number() OVER (
    PARTITION BY account_id, region, image_name ORDER BY version DESC
) = 1
ORDER BY account_id, region, image_name;
