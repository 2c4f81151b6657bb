-- What: ranges of version numbers, up to the highest listed, of which nothing is known.
-- Grain: one row per stream and range.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name, first_version, last_version, sorted.
-- A full listing answers for every number from the first ever seen; an incremental one for the new ones. Only
-- streams with a hole are sorted, for most have none.
WITH known AS MATERIALIZED (
    SELECT place, version
    FROM landed_numbers
    UNION
    SELECT listed.place, stored.version
    FROM image_versions AS stored
    JOIN (FROM listed WHERE listing = 'full') AS listed USING (account_id, region, image_name)
    UNION
    SELECT listed.place, streams.highest_version
    FROM streams
    JOIN (FROM listed WHERE listing = 'incremental') AS listed USING (account_id, region, image_name)
),
holed AS (
    SELECT place
    FROM known
    GROUP BY place
    HAVING max(version) - min(version) >= count(*)
),
following AS (
    SELECT place, version, lead(version) OVER (PARTITION BY place ORDER BY version) AS next_version
    FROM known
    SEMI JOIN holed USING (place)
)
SELECT
    listed.account_id,
    listed.region,
    listed.image_name,
    following.version + 1 AS first_version,
    following.next_version - 1 AS last_version
FROM following
JOIN listed USING (place)
LEFT JOIN streams USING (account_id, region, image_name)
LEFT JOIN absent_versions AS absent
    ON absent.account_id = listed.account_id
    AND absent.region = listed.region
    AND absent.image_name = listed.image_name
    AND absent.first_version <= following.version + 1
    AND absent.last_version >= following.next_version - 1
WHERE
    following.next_version - following.version > 1
    AND following.next_version <= listed.highest_version
    AND (listed.listing = 'full' OR following.next_version > streams.highest_version)
    AND absent.image_name IS NULL
ORDER BY ALL;
