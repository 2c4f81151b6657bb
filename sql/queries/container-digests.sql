-- What: versions with the same container image as another, byte for byte; needs the setting `details`.
-- Parameters: $copies = 2 (fewest versions of one digest; 1 for all).
-- Columns: account_id, region, image_name, version, repository, digest, versions, container_image, creation_time.
SELECT *
FROM container_digests
WHERE coalesce(versions, 1) >= $copies::BIGINT
ORDER BY versions DESC NULLS LAST, digest, account_id, region, image_name, version;
