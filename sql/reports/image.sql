-- What: the images of one name, with the number of their versions.
-- Grain: one row per account and region.
-- Parameters: $image; $account_id, $region (null for all).
-- Returns: account_id, region, image_status, etl_deleted_at, live_versions, deleted_versions, lowest_version,
-- highest_version.
SELECT
    images.account_id,
    images.region,
    images.image_status,
    images.etl_deleted_at,
    count(versions.version) FILTER (versions.etl_deleted_at IS NULL) AS live_versions,
    count(versions.etl_deleted_at) AS deleted_versions,
    min(versions.version) AS lowest_version,
    max(versions.version) AS highest_version
FROM images
LEFT JOIN image_versions AS versions USING (account_id, region, image_name)
WHERE
    images.image_name = $image
    AND ($account_id::VARCHAR IS NULL OR images.account_id = $account_id::VARCHAR)
    AND ($region::VARCHAR IS NULL OR images.region = $region::VARCHAR)
GROUP BY images.account_id, images.region, images.image_status, images.etl_deleted_at
ORDER BY images.account_id, images.region;
