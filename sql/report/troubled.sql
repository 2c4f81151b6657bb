-- What: versions that failed, or that have been CREATING or DELETING for a long time, the latest first.
-- Parameters: $scope, $image (globs), $stuck_since (an older passing status is stuck), $limit (most rows).
-- Returns: total (of all such versions), account_id, region, image_name, version, image_version_status, failure_reason,
-- last_modified_time.
SELECT
    count(*) OVER () AS total,
    account_id,
    region,
    image_name,
    version,
    image_version_status,
    failure_reason,
    last_modified_time
FROM image_versions
WHERE
    etl_deleted_at IS NULL
    AND (
        image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED')
        OR (
            image_version_status IN ('CREATING', 'DELETING')
            AND last_modified_time < $stuck_since::TIMESTAMPTZ
        )
    )
    AND concat(account_id, '/', region) GLOB $scope
    AND image_name GLOB $image
ORDER BY last_modified_time DESC, account_id, region, image_name, version
LIMIT $limit::BIGINT;
