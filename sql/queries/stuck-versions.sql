-- What: versions that have been CREATING or DELETING for a long time, the longest first.
-- Parameters: $hours = 24 (for at least how many hours).
-- Columns: account_id, region, image_name, version, image_version_status, failure_reason, since, hours.
SELECT
    account_id,
    region,
    image_name,
    version,
    image_version_status,
    failure_reason,
    last_modified_time AS since,
    (epoch_ms(now()) - epoch_ms(last_modified_time)) // 3_600_000 AS hours
FROM current_image_versions
WHERE
    image_version_status IN ('CREATING', 'DELETING')
    AND epoch_ms(now()) - epoch_ms(last_modified_time) >= $hours::BIGINT * 3_600_000
ORDER BY last_modified_time, account_id, region, image_name, version;
