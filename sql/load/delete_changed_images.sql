-- What: takes the stored rows of changed images away; insert_changed_images puts the new ones in.
-- Parameters: none; reads the temporary table `changed_images`.
-- Returns: nothing.
DELETE FROM images AS target
USING changed_images AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name;
