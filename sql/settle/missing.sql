-- What: the live versions that a listing lacks: for a full listing the stored ones, and for any listing those that an
-- earlier reading of the same run has landed. A version that is older than its image is no suspect: it ended with the
-- earlier image.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled, with their bounds) and
-- `landed_numbers`.
-- Returns: account_id, region, image_name, version, created_ms (CreationTime of its newest incarnation, UTC epoch
-- milliseconds), stored (whether it is stored as live); one row per version, sorted.
WITH alive AS (
    SELECT listed.place, stored.version, stored.creation_time, TRUE AS is_stored
    FROM stored_near(getvariable('listed_bounds')) AS stored
    JOIN (FROM listed WHERE listing = 'full' AND NOT missing) AS listed USING (account_id, region, image_name)
    WHERE
        stored.etl_deleted_at IS NULL
        AND (listed.life_began_at IS NULL OR stored.creation_time >= listed.life_began_at)
    UNION ALL
    SELECT place, version, landed_numbers.creation_time, FALSE
    FROM landed_numbers
    JOIN listed USING (place)
    WHERE
        landed_numbers.etl_reading < listed.readings
        AND NOT listed.missing
        AND (listed.life_began_at IS NULL OR landed_numbers.creation_time >= listed.life_began_at)
),
lacking AS (
    SELECT place, version, max(creation_time) AS creation_time, bool_or(is_stored) AS is_stored
    FROM alive
    ANTI JOIN (
        SELECT landed_numbers.place, landed_numbers.version
        FROM landed_numbers
        JOIN listed USING (place)
        WHERE landed_numbers.etl_reading = listed.readings
    ) USING (place, version)
    GROUP BY place, version
)
SELECT
    listed.account_id,
    listed.region,
    listed.image_name,
    lacking.version,
    epoch_ms(lacking.creation_time) AS created_ms,
    lacking.is_stored AS stored
FROM lacking
JOIN listed USING (place)
ORDER BY ALL;
