-- What: stored live versions that a full listing lacks.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name, missing (sorted numbers); one row a stream that lacks any.
SELECT account_id, region, image_name, list_sort(list(version)) AS missing
FROM image_versions
SEMI JOIN (FROM listed WHERE listing = 'full') USING (account_id, region, image_name)
ANTI JOIN (
    SELECT landed_numbers.*
    FROM landed_numbers
    JOIN listed USING (account_id, region, image_name)
    WHERE etl_reading = listed.readings
) USING (account_id, region, image_name, version)
WHERE etl_deleted_at IS NULL
GROUP BY ALL;
