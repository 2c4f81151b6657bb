-- What: what happened to versions since an instant, by the time at AWS, the latest first.
-- Parameters: $scope, $image (globs), $since, $limit (most rows).
-- Returns: total (of all such changes), account_id, region, image_name, version, happened_at, change,
-- image_version_status, failure_reason, changed_columns, learned_at.
SELECT
    count(*) OVER () AS total,
    account_id,
    region,
    image_name,
    version,
    etl_valid_from AS happened_at,
    etl_change AS change,
    image_version_status,
    failure_reason,
    etl_changed_columns AS changed_columns,
    etl_observed_at AS learned_at
FROM image_version_events
WHERE
    etl_valid_from >= $since::TIMESTAMPTZ
    AND concat(account_id, '/', region) GLOB $scope
    AND image_name GLOB $image
ORDER BY etl_valid_from DESC, account_id, region, image_name, version DESC
LIMIT $limit::BIGINT;
