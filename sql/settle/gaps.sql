-- What: the ranges of unknown version numbers between the lowest known number and the highest one.
-- Grain: one row per stream and range.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled, with their bounds) and
-- `landed_numbers`.
-- Returns: account_id, region, image_name, first_version, last_version; sorted.
-- A number is known if it was landed, is stored or is proved absent, in the present life of the image: an earlier
-- life explains nothing. If a stream has no unexplained number and was not listed in full, its stored range counts as
-- known. Only streams with a hole are sorted, since most streams have none.
WITH present AS (
    SELECT
        listed.*,
        streams.first_version_seen,
        streams.highest_version AS highest_stored,
        listed.listing = 'full'
        OR streams.highest_version IS NULL
        OR streams.unexplained IS DISTINCT FROM 0 AS needs_all
    FROM listed
    LEFT JOIN streams USING (account_id, region, image_name)
    WHERE NOT listed.missing
),
numbers AS (
    SELECT place, version
    FROM landed_numbers
    JOIN present USING (place)
    WHERE
        (present.life_began_at IS NULL OR landed_numbers.creation_time >= present.life_began_at)
        AND (needs_all OR version NOT BETWEEN first_version_seen AND highest_stored)
    UNION
    SELECT present.place, stored.version
    FROM stored_near(getvariable('listed_bounds')) AS stored
    JOIN (FROM present WHERE needs_all) AS present USING (account_id, region, image_name)
    WHERE present.life_began_at IS NULL OR stored.creation_time >= present.life_began_at
),
holed AS (
    SELECT place
    FROM numbers
    JOIN present USING (place)
    GROUP BY place
    HAVING NOT any_value(needs_all) OR max(version) - min(version) >= count(*)
),
known AS (
    SELECT place, version AS first_known, version AS last_known
    FROM numbers
    SEMI JOIN holed USING (place)
    UNION ALL
    SELECT place, first_version_seen, highest_stored
    FROM present
    SEMI JOIN holed USING (place)
    WHERE NOT needs_all
    UNION ALL
    SELECT present.place, absent.first_version, absent.last_version
    FROM absent_versions AS absent
    JOIN present USING (account_id, region, image_name)
    SEMI JOIN holed USING (place)
    WHERE absent.image_created_at IS NOT DISTINCT FROM present.image_created_at
),
following AS (
    SELECT
        place,
        first_known,
        max(last_known) OVER (
            PARTITION BY place ORDER BY first_known, last_known ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        ) AS explained_to
    FROM known
)
SELECT
    present.account_id,
    present.region,
    present.image_name,
    following.explained_to + 1 AS first_version,
    following.first_known - 1 AS last_version
FROM following
JOIN present USING (place)
WHERE following.first_known > following.explained_to + 1
ORDER BY ALL;
