-- What: incremental listings that start after what the warehouse has read: what changed in between is in neither.
-- Parameters: none; reads the temporary table `listed`.
-- Returns: account_id, region, image_name; one row a stream.
SELECT account_id, region, image_name
FROM listed
LEFT JOIN streams USING (account_id, region, image_name)
WHERE
    listed.listing = 'incremental'
    AND (streams.watermark IS NULL OR listed.starts_at > streams.watermark);
