-- What: how many versions of each image changed between what was known at two instants.
-- Parameters: $since, $until.
-- Returns: account_id, region, image_name, created, modified, deleted, recreated, reappeared, transient, events.
SELECT
    account_id,
    region,
    image_name,
    count(*) FILTER (change = 'created') AS created,
    count(*) FILTER (change = 'modified') AS modified,
    count(*) FILTER (change = 'deleted') AS deleted,
    count(*) FILTER (change = 'recreated') AS recreated,
    count(*) FILTER (change = 'reappeared') AS reappeared,
    count(*) FILTER (change = 'transient') AS transient,
    sum(events)::BIGINT AS events
FROM image_version_changes($since, $until)
GROUP BY account_id, region, image_name
ORDER BY account_id, region, image_name;
