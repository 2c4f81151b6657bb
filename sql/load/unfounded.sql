-- What: the incremental listings that start after the stored watermark, or whose stream has none: what changed in
-- between is neither listed nor stored.
-- Parameters: none; reads the temporary table `listed`.
-- Returns: account_id, region, image_name; one row per stream.
SELECT account_id, region, image_name
FROM listed
LEFT JOIN streams USING (account_id, region, image_name)
WHERE
    listed.listing = 'incremental'
    AND (streams.watermark IS NULL OR listed.starts_at > streams.watermark);
