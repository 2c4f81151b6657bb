-- What: all images, so that Warehouse.history can name the nearest one to a wrong name.
-- Parameters: none.
-- Returns: account_id, region, image_name.
SELECT DISTINCT account_id, region, image_name
FROM image_version_events
ORDER BY account_id, region, image_name;
