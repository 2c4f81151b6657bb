-- What: the parts of each version's container image, and how many versions have the same bytes.
-- Columns: account_id, region, image_name, version, repository (registry and path), digest (sha256 in hexadecimal, null
-- if AWS gives none), versions (how many versions in all accounts and regions have that digest, with this one),
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
