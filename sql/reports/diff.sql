-- What: every version of which something else was known at one instant than at a later one.
-- Parameters: $since, $until.
-- Returns: the columns of image_version_changes.
FROM image_version_changes($since, $until)
ORDER BY account_id, region, image_name, version;
