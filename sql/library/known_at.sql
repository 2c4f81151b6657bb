-- What: the versions that the warehouse knew to exist at an instant, for Warehouse.known_at.
-- Parameters: $ts (an instant).
-- Returns: the columns of image_versions_known_at, by key.
FROM image_versions_known_at($ts)
ORDER BY account_id, region, image_name, version;
