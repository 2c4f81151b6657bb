-- What: images that AWS has, with versions of which none is in status CREATED: nothing can be started from them.
-- Parameters: none.
-- Columns: account_id, region, image_name, image_status, versions, newest_version, newest_status,
-- newest_failure_reason.
SELECT
    images.account_id,
    images.region,
    images.image_name,
    images.image_status,
    count(versions.version) AS versions,
    max(versions.version) AS newest_version,
    arg_max(versions.image_version_status, versions.version) AS newest_status,
    arg_max_null(versions.failure_reason, versions.version) AS newest_failure_reason
FROM images
JOIN current_image_versions AS versions USING (account_id, region, image_name)
WHERE images.etl_deleted_at IS NULL
GROUP BY images.account_id, images.region, images.image_name, images.image_status
HAVING count(*) FILTER (versions.image_version_status = 'CREATED') = 0
ORDER BY images.account_id, images.region, images.image_name;
