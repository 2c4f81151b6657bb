-- What: every version whose creation or deletion failed, with AWS's reason, the latest failure first.
-- Parameters: none.
-- Columns: account_id, region, image_name, version, image_version_status, failure_reason, creation_time,
-- last_modified_time.
SELECT *
FROM failed_versions
ORDER BY last_modified_time DESC, account_id, region, image_name, version DESC;
