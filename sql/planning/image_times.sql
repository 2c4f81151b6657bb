-- What: whether AWS moves an image's LastModifiedTime with each new version, judged by the stored times.
-- Grain: one row per scope that has an image and whose list of images was read whole.
-- Parameters: $lag_ms, by how many milliseconds lists and times may be late.
-- Returns: account_id, region, shown (live images whose LastModifiedTime moved with their newest version, which was
-- created later than the image), contradicted (live images whose LastModifiedTime is before the creation of a version
-- that existed when the images were listed).
WITH listed AS (
    SELECT account_id, region, max(t0) AS t0
    FROM coverage
    WHERE image_name IS NULL AND outcome = 'complete'
    GROUP BY account_id, region
),
newest AS (
    SELECT
        account_id,
        region,
        image_name,
        max(creation_time) AS creation_time,
        arg_max(last_modified_time, creation_time) AS last_modified_time
    FROM image_versions
    WHERE etl_deleted_at IS NULL
    GROUP BY account_id, region, image_name
),
compared AS (
    SELECT
        listed.account_id,
        listed.region,
        newest.creation_time > images.creation_time + to_milliseconds($lag_ms::BIGINT)
        AND images.last_modified_time BETWEEN
            newest.creation_time AND newest.last_modified_time + to_milliseconds($lag_ms::BIGINT) AS shown,
        newest.creation_time > images.last_modified_time
        AND newest.creation_time + to_milliseconds($lag_ms::BIGINT) <= listed.t0 AS contradicted
    FROM listed
    JOIN images USING (account_id, region)
    JOIN newest USING (account_id, region, image_name)
    WHERE images.etl_deleted_at IS NULL
)
SELECT
    account_id,
    region,
    count(*) FILTER (shown) AS shown,
    count(*) FILTER (contradicted) AS contradicted
FROM compared
GROUP BY account_id, region;
