-- What: every version that changed between what was known at two instants.
-- Parameters: $since, $until.
-- Returns: the columns of image_version_changes.
FROM image_version_changes($since, $until)
ORDER BY account_id, region, image_name, version;
