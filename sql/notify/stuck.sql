-- What: the versions that have been CREATING or DELETING since an instant or longer.
-- Grain: one row per version.
-- Parameters: $before.
-- Returns: account_id, region, image_name, version, image_version_status, since.
SELECT account_id, region, image_name, version, image_version_status, last_modified_time AS since
FROM current_image_versions
WHERE image_version_status IN ('CREATING', 'DELETING') AND last_modified_time <= $before::TIMESTAMPTZ
ORDER BY account_id, region, image_name, version;
