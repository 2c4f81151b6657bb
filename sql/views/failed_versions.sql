-- What: versions whose creation or deletion failed, with AWS's reason.
-- Columns: the key, image_version_status, failure_reason, creation_time, last_modified_time.
CREATE OR REPLACE VIEW failed_versions AS
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
WHERE image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED');
