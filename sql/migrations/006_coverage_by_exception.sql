-- A stream has a row of coverage only if the row says something new: the scope's row stands for rows that would
-- repeat the stream's previous row. Old rows are deleted if their absence says the same; the last complete row of
-- each stream stays, because of its exact T0.

ALTER TABLE coverage RENAME TO coverage_before;

CREATE TABLE coverage (
    etl_run_id VARCHAR NOT NULL,
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR,
    listing VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    pages BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    readings BIGINT NOT NULL,
    phantoms BIGINT NOT NULL,
    deleted BIGINT,
    t0 TIMESTAMP WITH TIME ZONE,
    watermark TIMESTAMP WITH TIME ZONE,
    error_code VARCHAR,
    error_message VARCHAR,
    details VARCHAR,
    detailed BIGINT,
    details_error VARCHAR,
    rested BIGINT,
    hinted BIGINT,
    streams BIGINT,
    others VARCHAR,
    t1 TIMESTAMP WITH TIME ZONE
);

-- The lists of images that were read whole, numbered within each scope in the order of their loads.
CREATE TEMP TABLE migrated_lists AS
SELECT
    before.etl_run_id,
    before.account_id,
    before.region,
    runs.finished_at,
    before.rested,
    row_number() OVER (
        PARTITION BY before.account_id, before.region ORDER BY runs.finished_at, runs.etl_run_id
    ) AS place
FROM coverage_before AS before
JOIN runs USING (etl_run_id)
WHERE before.image_name IS NULL AND before.outcome = 'complete';

-- The rows of each stream, with values of the stream's previous and next row.
CREATE TEMP TABLE migrated_streams AS
SELECT
    before.etl_run_id,
    before.account_id,
    before.region,
    before.image_name,
    before.outcome,
    before.listing = 'full' AND before.pages > 1 AS is_large,
    before.t0,
    list.place,
    lag(list.place) OVER stream AS place_before,
    lead(list.place) OVER stream AS place_after,
    lead(before.outcome) OVER stream AS outcome_after,
    lead(before.t0) OVER stream AS t0_after,
    hash(
        before.listing, before.outcome, before.pages, before.rows, before.readings, before.phantoms, before.deleted,
        before.watermark, before.error_code, before.details, before.detailed, before.details_error
    ) AS said,
    lag(said) OVER stream AS said_before
FROM coverage_before AS before
JOIN migrated_lists AS list USING (etl_run_id, account_id, region)
WHERE before.image_name IS NOT NULL
WINDOW stream AS (PARTITION BY before.account_id, before.region, before.image_name ORDER BY list.place);

-- If more streams lack a row in a run than have one, the run was limited to some images, and all its rows stay. They
-- also stay if images rested. `is_told` marks the other lists, and `told` counts the marked lists up to this one.
CREATE TEMP TABLE migrated_told AS
WITH missing AS (
    SELECT account_id, region, place, sum(step) AS streams
    FROM (
        SELECT account_id, region, place + 1 AS place, 1 AS step
        FROM migrated_streams
        WHERE outcome = 'complete' AND (place_after IS NULL OR place_after > place + 1)
        UNION ALL
        SELECT account_id, region, place_after AS place, -1 AS step
        FROM migrated_streams
        WHERE outcome = 'complete' AND place_after > place + 1
    )
    GROUP BY ALL
),
present AS (
    SELECT account_id, region, place, count(*) AS streams, max(t0) FILTER (outcome = 'complete') AS t1
    FROM migrated_streams
    GROUP BY ALL
),
counted AS (
    SELECT
        list.*,
        coalesce(present.streams, 0) AS streams,
        present.t1,
        coalesce(sum(missing.streams) OVER (
            PARTITION BY list.account_id, list.region ORDER BY list.place
        ), 0) <= coalesce(present.streams, 0) AND coalesce(list.rested, 0) = 0 AS is_told
    FROM migrated_lists AS list
    LEFT JOIN present USING (account_id, region, place)
    LEFT JOIN missing USING (account_id, region, place)
)
SELECT
    *,
    count(*) FILTER (is_told) OVER (PARTITION BY account_id, region ORDER BY place) AS told
FROM counted;

-- The rows of streams; `is_kept` marks those that stay. `lists_missed` counts the marked lists between a row and the
-- stream's next one: in each of them, the lack of a row would wrongly mean the same result again.
CREATE TEMP TABLE migrated_kept AS
WITH placed AS (
    SELECT
        stream.*,
        list.is_told,
        list.told,
        coalesce(next.told - next.is_told::BIGINT, newest.told) - list.told AS lists_missed,
        lag(lists_missed) OVER (
            PARTITION BY stream.account_id, stream.region, stream.image_name ORDER BY stream.place
        ) AS lists_missed_before,
        lag(stream.outcome) OVER (
            PARTITION BY stream.account_id, stream.region, stream.image_name ORDER BY stream.place
        ) AS outcome_before
    FROM migrated_streams AS stream
    JOIN migrated_told AS list USING (account_id, region, place)
    JOIN (
        SELECT account_id, region, max(told) AS told
        FROM migrated_told
        GROUP BY account_id, region
    ) AS newest USING (account_id, region)
    LEFT JOIN migrated_told AS next
        ON next.account_id = stream.account_id AND next.region = stream.region AND next.place = stream.place_after
)
SELECT
    *,
    NOT (
        is_told
        AND outcome = 'complete'
        AND NOT is_large
        AND coalesce(said = said_before AND outcome_before = 'complete' AND lists_missed_before = 0, FALSE)
        AND coalesce(outcome_after = 'complete' AND t0_after >= t0, FALSE)
    ) AS is_kept
FROM placed;

INSERT INTO coverage BY NAME
SELECT * EXCLUDE (finished_at)
FROM (
    SELECT
        before.*,
        list.streams,
        CASE WHEN list.is_told THEN 'complete' END AS others,
        list.t1,
        runs.finished_at
    FROM coverage_before AS before
    JOIN runs USING (etl_run_id)
    LEFT JOIN migrated_told AS list USING (etl_run_id, account_id, region)
    WHERE before.image_name IS NULL
    UNION ALL BY NAME
    SELECT before.*, runs.finished_at
    FROM coverage_before AS before
    JOIN runs USING (etl_run_id)
    ANTI JOIN (
        FROM migrated_kept
        WHERE NOT is_kept
    ) AS gone USING (etl_run_id, account_id, region, image_name)
    WHERE before.image_name IS NOT NULL
    UNION ALL BY NAME
    SELECT
        list.etl_run_id,
        kept.account_id,
        kept.region,
        kept.image_name,
        'none' AS listing,
        'skipped' AS outcome,
        0 AS pages,
        0 AS rows,
        0 AS readings,
        0 AS phantoms,
        list.finished_at
    FROM migrated_kept AS kept
    JOIN migrated_told AS list
        ON list.account_id = kept.account_id AND list.region = kept.region AND list.is_told AND list.told = kept.told + 1
    WHERE kept.outcome = 'complete' AND kept.lists_missed > 0
)
ORDER BY finished_at, account_id, region, image_name NULLS FIRST;

DROP TABLE migrated_kept;
DROP TABLE migrated_told;
DROP TABLE migrated_streams;
DROP TABLE migrated_lists;
DROP TABLE coverage_before;
