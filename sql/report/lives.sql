-- What: the lifetimes of the versions of the last changed images, for a picture with one lane per image.
-- Parameters: $scope, $image (globs), $begin (versions that were gone before are left out), $lanes (most images), $each
-- (most versions of an image, the newest).
-- Returns: account_id, region, image_name, version, image_version_status, creation_time, last_seen_at and gone_at (it
-- was deleted between the two; null while it lives), left_out (how many older versions of the image are left out).
WITH lanes AS (
    SELECT account_id, region, image_name
    FROM image_versions
    WHERE concat(account_id, '/', region) GLOB $scope AND image_name GLOB $image
    GROUP BY account_id, region, image_name
    ORDER BY max(coalesce(etl_deleted_at, last_modified_time)) DESC, account_id, region, image_name
    LIMIT $lanes::BIGINT
),
newest AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        image_version_status,
        creation_time,
        etl_deleted_at,
        greatest(count(*) OVER (PARTITION BY account_id, region, image_name) - $each::BIGINT, 0) AS left_out
    FROM image_versions
    SEMI JOIN lanes USING (account_id, region, image_name)
    WHERE coalesce(etl_deleted_at >= $begin::TIMESTAMPTZ, TRUE)
    QUALIFY row_number() OVER (PARTITION BY account_id, region, image_name ORDER BY version DESC) <= $each::BIGINT
),
gone AS (
    SELECT account_id, region, image_name, version, max(etl_last_seen_at) AS last_seen_at
    FROM image_version_events
    SEMI JOIN lanes USING (account_id, region, image_name)
    WHERE etl_change = 'deleted'
    GROUP BY account_id, region, image_name, version
)
SELECT
    newest.account_id,
    newest.region,
    newest.image_name,
    newest.version,
    newest.image_version_status,
    newest.creation_time,
    CASE WHEN newest.etl_deleted_at IS NOT NULL THEN gone.last_seen_at END AS last_seen_at,
    newest.etl_deleted_at AS gone_at,
    newest.left_out
FROM newest
LEFT JOIN gone USING (account_id, region, image_name, version)
ORDER BY newest.account_id, newest.region, newest.image_name, newest.version;
