-- What: what a run can record about each stream of its scopes.
-- Parameters: $images, the paths of the run's files of images; reads the registered Arrow tables `scopes_arrow` and
-- `detailed_arrow` and the temporary tables `listed`, `deleted` and `covered_before`; runs after insert_streams.
-- Returns: nothing; makes the temporary table `stream_coverage`, one row per stream. `repeats` says whether an accepted
-- listing differs from the stream's newest row only in T0. It is false for a full listing of several pages, since
-- deletions are based on it. A stream that was not listed is `rested` if the list of images has it; otherwise the
-- configuration excludes it, and it is `skipped`. Then `repeats` is true if the newest row is complete or rested, and
-- no details were due.
CREATE OR REPLACE TEMP TABLE stream_coverage AS
WITH looked AS (
    SELECT
        source.* EXCLUDE (
            watermark, comparable, highest_version, starts_at, held_back, oldest_at, missing, place, image_created_at,
            life_began_at
        ),
        CASE
            WHEN source.outcome = 'gone' OR (source.listing = 'full' AND source.outcome = 'complete')
                THEN coalesce(lost.deleted, 0)
            ELSE lost.deleted
        END AS deleted,
        target.watermark
    FROM listed AS source
    LEFT JOIN streams AS target USING (account_id, region, image_name)
    LEFT JOIN (
        SELECT account_id, region, image_name, count(*) AS deleted
        FROM deleted
        GROUP BY account_id, region, image_name
    ) AS lost USING (account_id, region, image_name)
),
idle AS (
    SELECT
        before.account_id,
        before.region,
        before.image_name,
        'none' AS listing,
        CASE WHEN landed.image_name IS NULL THEN 'skipped' ELSE 'rested' END AS outcome,
        0::BIGINT AS pages,
        0::BIGINT AS rows,
        0::BIGINT AS readings,
        0::BIGINT AS phantoms,
        detailed.details,
        detailed.detailed,
        detailed.details_error,
        before.outcome IN ('complete', 'rested') AND detailed.details IS NULL AS repeats
    FROM covered_before AS before
    SEMI JOIN (
        FROM scopes_arrow
        WHERE outcome = 'complete'
    ) AS scopes USING (account_id, region)
    ANTI JOIN listed USING (account_id, region, image_name)
    LEFT JOIN (
        SELECT account_id, region, image_name
        FROM read_parquet($images)
    ) AS landed USING (account_id, region, image_name)
    LEFT JOIN detailed_arrow AS detailed USING (account_id, region, image_name)
    WHERE landed.image_name IS NOT NULL OR before.outcome IN ('complete', 'rested')
)
SELECT
    looked.*,
    coalesce(
        looked.outcome = 'complete'
        AND before.outcome = 'complete'
        AND NOT (looked.listing = 'full' AND looked.pages > 1)
        AND looked.listing = before.listing
        AND looked.pages = before.pages
        AND looked.rows = before.rows
        AND looked.readings = before.readings
        AND looked.phantoms = before.phantoms
        AND looked.deleted IS NOT DISTINCT FROM before.deleted
        AND looked.watermark IS NOT DISTINCT FROM before.watermark
        AND looked.details IS NOT DISTINCT FROM before.details
        AND looked.detailed IS NOT DISTINCT FROM before.detailed
        AND looked.details_error IS NOT DISTINCT FROM before.details_error,
        FALSE
    ) AS repeats
FROM looked
LEFT JOIN covered_before AS before USING (account_id, region, image_name)
UNION ALL BY NAME
FROM idle;
