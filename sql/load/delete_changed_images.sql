-- What: deletes the stored rows of changed images; insert_changed_images inserts the new ones.
-- Parameters: none; reads the temporary table `changed_images`.
-- Returns: nothing.
DELETE FROM images AS target
USING changed_images AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name;
