-- What: the versions that existed at AWS at an instant, for Warehouse.as_of.
-- Parameters: $ts (an instant).
-- Returns: the columns of image_versions_as_of, by key.
FROM image_versions_as_of($ts)
ORDER BY account_id, region, image_name, version;
