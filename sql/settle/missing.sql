-- What: stored live versions that a full listing lacks.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name, missing (sorted numbers); one row a stream that lacks any.
WITH live AS (
    SELECT listed.place, stored.version
    FROM image_versions AS stored
    JOIN (FROM listed WHERE listing = 'full') AS listed USING (account_id, region, image_name)
    WHERE stored.etl_deleted_at IS NULL
),
lacking AS (
    SELECT place, list_sort(list(version)) AS missing
    FROM live
    ANTI JOIN (
        SELECT landed_numbers.place, landed_numbers.version
        FROM landed_numbers
        JOIN listed USING (place)
        WHERE landed_numbers.etl_reading = listed.readings
    ) USING (place, version)
    GROUP BY place
)
SELECT listed.account_id, listed.region, listed.image_name, lacking.missing
FROM lacking
JOIN listed USING (place);
