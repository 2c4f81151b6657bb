-- What: the container image of each version taken apart, and how many versions are the same bytes.
-- Columns: account_id, region, image_name, version, repository (registry and path), digest (sha256 in hexadecimal, null
-- where AWS tells none), versions (how many of all accounts and regions have that digest, this one included),
-- container_image, creation_time.
-- Filled by syncs with the setting `details`. A version whose creation failed has no container image.
CREATE OR REPLACE VIEW container_digests AS
SELECT
    account_id,
    region,
    image_name,
    version,
    regexp_extract(container_image, '^([^@]+)', 1) AS repository,
    nullif(regexp_extract(container_image, '@sha256:([0-9a-fA-F]+)$', 1), '') AS digest,
    CASE WHEN digest IS NOT NULL THEN count(*) OVER (PARTITION BY digest) END AS versions,
    container_image,
    creation_time
FROM image_versions
WHERE etl_deleted_at IS NULL AND container_image IS NOT NULL;
