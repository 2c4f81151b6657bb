-- What: every version that is not known to be deleted, for Warehouse.current.
-- Parameters: none.
-- Returns: the columns of current_image_versions, by key.
FROM current_image_versions
ORDER BY account_id, region, image_name, version;
