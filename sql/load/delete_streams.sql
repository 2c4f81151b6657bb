-- What: deletes the stored rows of the streams that insert_streams inserts again.
-- Parameters: none; reads the temporary table `streams_after`.
-- Returns: nothing.
DELETE FROM streams AS target
USING streams_after AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name;
