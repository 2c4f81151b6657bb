-- What: how many versions were created, changed and deleted in each week (from Monday, UTC, AWS's time), the
-- latest first. Changes before the first sync are unknown; creations are known.
-- Parameters: $weeks = 12 (how many weeks).
-- Columns: week, created, modified, deleted, recreated, reappeared, images.
SELECT
    date_trunc('week', etl_valid_from AT TIME ZONE 'UTC')::DATE AS week,
    count(*) FILTER (etl_change = 'created') AS created,
    count(*) FILTER (etl_change = 'modified') AS modified,
    count(*) FILTER (etl_change = 'deleted') AS deleted,
    count(*) FILTER (etl_change = 'recreated') AS recreated,
    count(*) FILTER (etl_change = 'reappeared') AS reappeared,
    count(DISTINCT (account_id, region, image_name)) AS images
FROM image_version_events
GROUP BY week
ORDER BY week DESC
LIMIT $weeks::BIGINT;
