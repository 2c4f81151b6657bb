-- What: images without a version in status CREATED, from which nothing can be started.
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
LEFT JOIN current_image_versions AS versions USING (account_id, region, image_name)
GROUP BY images.account_id, images.region, images.image_name, images.image_status
HAVING count(*) FILTER (versions.image_version_status = 'CREATED') = 0
ORDER BY images.account_id, images.region, images.image_name;
