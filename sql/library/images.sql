-- What: the images that Warehouse.history may be asked for, to name the nearest one after a wrong name.
-- Parameters: none.
-- Returns: account_id, region, image_name.
SELECT DISTINCT account_id, region, image_name
FROM image_version_events
ORDER BY account_id, region, image_name;
