-- What: what the newest sync learned.
-- Parameters: none.
-- Returns: image_name, version, change, status; one row an event.
SELECT
    image_name,
    version,
    etl_change AS change,
    image_version_status AS status
FROM image_version_events
WHERE etl_run_id = (SELECT max(etl_run_id) FROM runs)
ORDER BY image_name, version;
