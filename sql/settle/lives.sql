-- What: whether stored live versions are older than their image, and, for an image that AWS does not know any more,
-- how many versions end with it.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled, with their bounds) and
-- `landed_numbers`.
-- Returns: account_id, region, image_name, recreated_ms (when the image was created, if live versions are older),
-- lives (the live versions of an image that is gone), known_until_ms (the newest CreationTime that is known of such
-- an image or of its versions; UTC epoch milliseconds); one row per stream that has any of these.
WITH concerned AS (
    FROM listed
    WHERE missing OR listing = 'full'
),
stored AS (
    SELECT
        concerned.place,
        count(*) FILTER (version.etl_deleted_at IS NULL) AS lives,
        min(version.creation_time) FILTER (version.etl_deleted_at IS NULL) AS oldest,
        max(version.creation_time) AS newest
    FROM stored_near(getvariable('listed_bounds')) AS version
    JOIN concerned USING (account_id, region, image_name)
    GROUP BY concerned.place
),
landed AS (
    SELECT place, max(creation_time) AS newest
    FROM landed_numbers
    GROUP BY place
)
SELECT
    concerned.account_id,
    concerned.region,
    concerned.image_name,
    CASE WHEN NOT concerned.missing THEN epoch_ms(concerned.life_began_at) END AS recreated_ms,
    CASE WHEN concerned.missing THEN coalesce(stored.lives, 0) ELSE 0 END AS lives,
    CASE
        WHEN concerned.missing
            THEN epoch_ms(greatest(concerned.image_created_at, stored.newest, landed.newest))
    END AS known_until_ms
FROM concerned
LEFT JOIN stored USING (place)
LEFT JOIN landed USING (place)
WHERE concerned.missing OR stored.oldest < concerned.life_began_at;
