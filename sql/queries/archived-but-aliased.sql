-- What: aliases of versions that are archived, or about to be; needs the setting `details`.
-- Parameters: none.
-- Columns: account_id, region, image_name, version, aliases, vendor_guidance, container_image, release_notes,
-- creation_time, last_modified_time.
SELECT *
FROM archived_but_aliased
ORDER BY account_id, region, image_name, version DESC;
