-- What: versions that were deleted since an instant, when that was, and how it was proved, the latest first.
-- Parameters: $scope, $image (globs), $since, $limit (most rows).
-- Returns: total (of all such versions), account_id, region, image_name, version, last_status, last_seen_at, gone_at,
-- evidence, learned_at.
WITH gone AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        max(etl_last_seen_at) AS last_seen_at,
        max(etl_observed_at) AS learned_at
    FROM image_version_events
    WHERE etl_change = 'deleted' AND etl_valid_from >= $since::TIMESTAMPTZ
    GROUP BY account_id, region, image_name, version
)
SELECT
    count(*) OVER () AS total,
    deleted.account_id,
    deleted.region,
    deleted.image_name,
    deleted.version,
    deleted.image_version_status AS last_status,
    gone.last_seen_at,
    deleted.etl_deleted_at AS gone_at,
    deleted.etl_delete_evidence AS evidence,
    gone.learned_at
FROM image_versions AS deleted
LEFT JOIN gone USING (account_id, region, image_name, version)
WHERE
    deleted.etl_deleted_at >= $since::TIMESTAMPTZ
    AND concat(deleted.account_id, '/', deleted.region) GLOB $scope
    AND deleted.image_name GLOB $image
ORDER BY deleted.etl_deleted_at DESC, deleted.account_id, deleted.region, deleted.image_name, deleted.version DESC
LIMIT $limit::BIGINT;
