-- What: the moves of an image's aliases between versions, the latest first; needs the setting `details`.
-- Parameters: $image = '' (the image's name; empty for all).
-- Columns: account_id, region, image_name, alias, from_version, to_version, moved_after, moved_by, learned_at,
-- etl_run_id.
SELECT *
FROM alias_moves
WHERE image_name = $image OR $image = ''
ORDER BY learned_at DESC, account_id, region, image_name, alias;
