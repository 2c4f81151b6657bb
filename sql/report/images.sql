-- What: the images, the last changed first: how many versions each has, and its newest version.
-- Parameters: $scope, $image (globs), $limit (most rows).
-- Returns: total (of all images), without_good (number of live images that have versions, but none that is CREATED),
-- account_id, region, image_name, live, deleted, failed, good (live versions that are CREATED), newest_version,
-- newest_status, newest_reason, newest_good (the highest version that is CREATED), aliases (each as in `latest 7`),
-- changed_at, deleted_at (since when the whole image is gone).
WITH counted AS (
    SELECT
        account_id,
        region,
        image_name,
        count(*) FILTER (etl_deleted_at IS NULL) AS live,
        count(*) FILTER (etl_deleted_at IS NOT NULL) AS deleted,
        count(*) FILTER (
            etl_deleted_at IS NULL AND image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED')
        ) AS failed,
        count(*) FILTER (etl_deleted_at IS NULL AND image_version_status = 'CREATED') AS good,
        max(version) FILTER (etl_deleted_at IS NULL) AS newest_version,
        arg_max(image_version_status, version) FILTER (etl_deleted_at IS NULL) AS newest_status,
        arg_max_null(failure_reason, version) FILTER (etl_deleted_at IS NULL) AS newest_reason,
        max(version) FILTER (etl_deleted_at IS NULL AND image_version_status = 'CREATED') AS newest_good,
        max(coalesce(etl_deleted_at, last_modified_time)) AS changed_at
    FROM image_versions
    WHERE concat(account_id, '/', region) GLOB $scope AND image_name GLOB $image
    GROUP BY account_id, region, image_name
),
pointed AS (
    SELECT account_id, region, image_name, list(concat(alias, ' ', version) ORDER BY alias, version) AS aliases
    FROM (
        SELECT account_id, region, image_name, version, unnest(aliases) AS alias
        FROM image_versions
        WHERE etl_deleted_at IS NULL AND len(aliases) > 0
    )
    WHERE NOT regexp_full_match(alias, 'v?[0-9]+([._-][0-9]+)*')
    GROUP BY account_id, region, image_name
)
SELECT
    count(*) OVER () AS total,
    count(*) FILTER (
        images.etl_deleted_at IS NULL AND coalesce(counted.live, 0) > 0 AND coalesce(counted.good, 0) = 0
    ) OVER () AS without_good,
    images.account_id,
    images.region,
    images.image_name,
    coalesce(counted.live, 0) AS live,
    coalesce(counted.deleted, 0) AS deleted,
    coalesce(counted.failed, 0) AS failed,
    coalesce(counted.good, 0) AS good,
    counted.newest_version,
    counted.newest_status,
    counted.newest_reason,
    counted.newest_good,
    pointed.aliases,
    coalesce(counted.changed_at, images.last_modified_time) AS changed_at,
    images.etl_deleted_at AS deleted_at
FROM images
LEFT JOIN counted USING (account_id, region, image_name)
LEFT JOIN pointed USING (account_id, region, image_name)
WHERE concat(images.account_id, '/', images.region) GLOB $scope AND images.image_name GLOB $image
ORDER BY changed_at DESC, images.account_id, images.region, images.image_name
LIMIT $limit::BIGINT;
