-- What: versions that still have an alias although their maintainer has archived them, or is about to.
-- Columns: account_id, region, image_name, version, aliases, vendor_guidance (ARCHIVED or TO_BE_ARCHIVED),
-- container_image, release_notes, creation_time, last_modified_time.
-- Filled by syncs with the setting `details`.
CREATE OR REPLACE VIEW archived_but_aliased AS
SELECT
    account_id,
    region,
    image_name,
    version,
    aliases,
    vendor_guidance,
    container_image,
    release_notes,
    creation_time,
    last_modified_time
FROM image_versions
WHERE etl_deleted_at IS NULL AND vendor_guidance IN ('ARCHIVED', 'TO_BE_ARCHIVED') AND len(aliases) > 0;
