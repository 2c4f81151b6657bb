-- What: images without a new version for 180 days: the newest version that is left, or the image itself if no
-- version is left, is older than that.
-- Columns: account_id, region, image_name, newest_version, newest_status, newest_at (when the newest version, or
-- else the image, was created), days (full days since then), live_versions.
CREATE OR REPLACE VIEW stale_images AS
SELECT
    images.account_id,
    images.region,
    images.image_name,
    max(versions.version) AS newest_version,
    arg_max(versions.image_version_status, versions.version) AS newest_status,
    coalesce(max(versions.creation_time), images.creation_time) AS newest_at,
    (epoch_ms(now()) - epoch_ms(newest_at)) // 86_400_000 AS days,
    count(versions.version) AS live_versions
FROM images
LEFT JOIN current_image_versions AS versions USING (account_id, region, image_name)
WHERE images.etl_deleted_at IS NULL
GROUP BY images.account_id, images.region, images.image_name, images.creation_time
HAVING days >= 180;
