-- What: the live versions, by status.
-- Parameters: none.
-- Returns: status, versions; one row a status.
SELECT image_version_status AS status, count(*) AS versions
FROM current_image_versions
GROUP BY status
ORDER BY versions DESC;
