-- What: deletes the stored rows of changed versions; insert_changed_versions or insert_detailed_versions inserts the
-- new ones.
-- Parameters: none; reads the temporary table `changed`, with its bounds.
-- Returns: nothing.
DELETE FROM image_versions AS target
USING changed AS source
WHERE
    source.etl_change <> 'created'
    AND target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name
    AND target.version = source.version
    AND near(getvariable('changed_bounds'), target.account_id, target.region, target.image_name, target.version);
