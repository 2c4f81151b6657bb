-- What: how many versions there are, and how many of them are new since an instant.
-- Parameters: $scope and $image (globs of ACCOUNT/REGION and of names), $since, $stuck_since (a version is
-- stuck if it has been CREATING or DELETING since before this instant).
-- Returns: live, failed, stuck, created_since, failed_since, deleted_since.
SELECT
    count(*) FILTER (etl_deleted_at IS NULL) AS live,
    count(*) FILTER (
        etl_deleted_at IS NULL AND image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED')
    ) AS failed,
    count(*) FILTER (
        etl_deleted_at IS NULL
        AND image_version_status IN ('CREATING', 'DELETING')
        AND last_modified_time < $stuck_since::TIMESTAMPTZ
    ) AS stuck,
    count(*) FILTER (creation_time >= $since::TIMESTAMPTZ) AS created_since,
    count(*) FILTER (
        etl_deleted_at IS NULL
        AND image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED')
        AND last_modified_time >= $since::TIMESTAMPTZ
    ) AS failed_since,
    count(*) FILTER (etl_deleted_at >= $since::TIMESTAMPTZ) AS deleted_since
FROM image_versions
WHERE concat(account_id, '/', region) GLOB $scope AND image_name GLOB $image;
