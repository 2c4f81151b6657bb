-- What: the rows of streams as they must be after the run, for the streams whose row is new or changes.
-- Parameters: none; reads the temporary tables `listed` and `touched`, with its bounds, and image_versions after the
-- changes of the run.
-- Returns: nothing; makes the temporary table `streams_after`, one row per stream.
-- Versions are counted only for touched streams: a run without changes must not read the whole table. Versions of an
-- earlier life of the image explain no number of the present one. An absence explains a number once, however often it
-- was proved. It does not explain a number that was seen after all, nor one outside the lowest and the highest
-- version. So versions and absences are sorted together, from the first absence to the last one. Nothing is sorted
-- for a stream without absences.
CREATE OR REPLACE TEMP TABLE streams_after AS
WITH versions AS NOT MATERIALIZED (
    SELECT
        stored.account_id,
        stored.region,
        stored.image_name,
        stored.version,
        stored.etl_deleted_at IS NULL AS lives,
        listed.life_began_at IS NULL OR stored.creation_time >= listed.life_began_at AS present
    FROM stored_near(getvariable('touched_bounds')) AS stored
    SEMI JOIN touched USING (account_id, region, image_name)
    JOIN listed USING (account_id, region, image_name)
),
live AS (
    SELECT
        account_id,
        region,
        image_name,
        count(*) FILTER (lives) AS live_versions,
        count(*) FILTER (present) AS numbers,
        min(version) FILTER (present) AS lowest_version,
        max(version) FILTER (present) AS highest_version
    FROM versions
    GROUP BY ALL
),
covered AS (
    SELECT absent.account_id, absent.region, absent.image_name, absent.first_version, absent.last_version
    FROM absent_versions AS absent
    JOIN live USING (account_id, region, image_name)
    JOIN listed USING (account_id, region, image_name)
    WHERE absent.image_created_at IS NOT DISTINCT FROM listed.image_created_at
),
hulls AS (
    SELECT account_id, region, image_name, min(first_version) AS lowest, max(last_version) AS highest
    FROM covered
    GROUP BY ALL
),
items AS (
    SELECT *, FALSE AS present
    FROM covered
    UNION ALL
    SELECT account_id, region, image_name, version, version, TRUE
    FROM versions
    JOIN hulls USING (account_id, region, image_name)
    WHERE present AND version BETWEEN hulls.lowest AND hulls.highest
),
absent AS (
    SELECT
        account_id,
        region,
        image_name,
        sum(greatest(0, least(last_version, highest_version) - greatest(first_version - 1, covered_to, lowest_version - 1)))::BIGINT
        - count(*) FILTER (present) AS numbers
    FROM (
        SELECT
            *,
            max(last_version) OVER (
                PARTITION BY account_id, region, image_name
                ORDER BY first_version, last_version
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ) AS covered_to
        FROM items
    )
    JOIN live USING (account_id, region, image_name)
    GROUP BY ALL
),
after AS (
    SELECT
        source.account_id,
        source.region,
        source.image_name,
        greatest(target.watermark, source.watermark) AS watermark,
        CASE WHEN whole THEN greatest(target.last_full_at, source.t0) ELSE target.last_full_at END AS last_full_at,
        CASE WHEN live.image_name IS NULL THEN target.highest_version ELSE live.highest_version END AS highest_version,
        CASE
            WHEN live.image_name IS NULL THEN target.first_version_seen
            ELSE live.lowest_version
        END AS first_version_seen,
        coalesce(live.live_versions, target.live_versions, 0) AS live_versions,
        CASE WHEN whole THEN source.image_created_at ELSE target.image_created_at END AS image_created_at,
        CASE WHEN whole THEN source.life_began_at ELSE target.life_began_at END AS life_began_at,
        CASE
            WHEN live.image_name IS NULL THEN target.unexplained
            ELSE coalesce(live.highest_version - live.lowest_version + 1 - live.numbers - coalesce(absent.numbers, 0), 0)
        END AS unexplained,
        CASE
            WHEN source.outcome = 'held_back' THEN source.held_back
            WHEN NOT whole AND source.outcome <> 'gone' THEN target.held_back
        END AS held_back,
        target.image_name IS NULL OR live.image_name IS NOT NULL OR (whole AND source.pages > 1) AS is_due,
        target.watermark AS watermark_before,
        target.image_created_at AS image_created_before,
        target.life_began_at AS life_began_before,
        target.held_back AS held_back_before
    FROM (
        SELECT *, listing = 'full' AND outcome = 'complete' AS whole
        FROM listed
    ) AS source
    LEFT JOIN streams AS target USING (account_id, region, image_name)
    LEFT JOIN live USING (account_id, region, image_name)
    LEFT JOIN absent USING (account_id, region, image_name)
)
SELECT * EXCLUDE (is_due, watermark_before, image_created_before, life_began_before, held_back_before)
FROM after
WHERE
    is_due
    OR watermark IS DISTINCT FROM watermark_before
    OR image_created_at IS DISTINCT FROM image_created_before
    OR life_began_at IS DISTINCT FROM life_began_before
    OR held_back IS DISTINCT FROM held_back_before;
