-- What: the known images, the last changed first, with the number of their versions.
-- Grain: one row per account, region and image.
-- Parameters: $limit (most rows).
-- Returns: account_id, region, image_name, image_status, live_versions, deleted_versions, changed_at, deleted_at (since
-- when the whole image is gone).
SELECT
    images.account_id,
    images.region,
    images.image_name,
    images.image_status,
    count(versions.version) FILTER (versions.etl_deleted_at IS NULL) AS live_versions,
    count(versions.etl_deleted_at) AS deleted_versions,
    greatest(
        images.last_modified_time,
        max(coalesce(versions.etl_deleted_at, versions.last_modified_time))
    ) AS changed_at,
    images.etl_deleted_at AS deleted_at
FROM images
LEFT JOIN image_versions AS versions USING (account_id, region, image_name)
GROUP BY
    images.account_id,
    images.region,
    images.image_name,
    images.image_status,
    images.last_modified_time,
    images.etl_deleted_at
ORDER BY changed_at DESC, images.account_id, images.region, images.image_name
LIMIT $limit::BIGINT;
