-- What: what happened to one image or one of its versions, the newest first.
-- Grain: one row per event.
-- Parameters: $image; $version, $account_id, $region (null for all); $limit (most rows).
-- Returns: the columns of image_timeline.
SELECT *
FROM image_timeline
WHERE
    image_name = $image
    AND ($version::INTEGER IS NULL OR version = $version::INTEGER)
    AND ($account_id::VARCHAR IS NULL OR account_id = $account_id::VARCHAR)
    AND ($region::VARCHAR IS NULL OR region = $region::VARCHAR)
ORDER BY happened_at DESC, learned_at DESC, account_id, region, version DESC
LIMIT $limit::BIGINT;
