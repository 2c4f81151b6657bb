-- What: the moves of each alias of each image from one version to another, in the order in which they were learned.
-- Columns: account_id, region, image_name, alias, from_version (null if no version is known to have had the alias),
-- to_version (null if no version has the alias any more), moved_after, moved_by (AWS does not say when an alias moves: it
-- moved between these two instants; moved_after is null if the aliases had not been read before), learned_at,
-- etl_run_id.
-- Filled by syncs with the setting `details`. A version that is deleted or recreated loses its aliases, at some time
-- after they were last read. A deletion that was undone moves no alias. An alias belongs to one version at a time: a
-- loss and the next gain are one move, even if two runs learned of them, unless the alias was seen without a version in
-- between.
CREATE OR REPLACE VIEW alias_moves AS
WITH events AS (
    SELECT
        *,
        lead(etl_change) OVER own AS change_after,
        max(coalesce(etl_aliases_at, etl_aliases_before)) OVER earlier AS read_earlier
    FROM image_version_events
    WINDOW
        own AS (PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at),
        earlier AS (
            PARTITION BY account_id, region, image_name, version
            ORDER BY etl_observed_at
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
        )
),
states AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        coalesce(CASE WHEN etl_change <> 'deleted' THEN aliases END, []) AS aliases,
        coalesce(lag(CASE WHEN etl_change <> 'deleted' THEN aliases END) OVER (
            PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at
        ), []) AS aliases_before,
        CASE WHEN etl_change IN ('created', 'recreated') THEN creation_time END AS created_at,
        coalesce(etl_aliases_before, CASE WHEN etl_change <> 'deleted' THEN etl_last_seen_at END) AS read_before,
        coalesce(read_before, read_earlier) AS had_it_at,
        coalesce(
            etl_aliases_at,
            CASE WHEN NOT list_contains(etl_changed_columns, 'last_modified_time') THEN etl_valid_from END,
            etl_observed_at
        ) AS read_at,
        -- The Date of an answer has whole seconds: as in a listing, a bound is a second away from it.
        to_milliseconds(1000) AS margin,
        -- A lookup may have been of the new life already, before a listing showed it.
        CASE
            WHEN etl_change = 'deleted' THEN etl_valid_from
            WHEN etl_change = 'recreated' AND coalesce(had_it_at + margin <= creation_time, TRUE) THEN creation_time
        END AS gone_by,
        etl_observed_at AS learned_at,
        etl_run_id
    FROM events
    WHERE NOT (etl_change = 'deleted' AND change_after IS NOT DISTINCT FROM 'reappeared')
),
-- moved_after and moved_by are bounds. seen_after and seen_by are the Dates that are compared with those of other
-- versions, to find out whether the alias was seen without a version.
marks AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        unnest(list_filter(aliases_before, lambda name: NOT list_contains(aliases, name))) AS alias,
        FALSE AS is_gain,
        had_it_at - margin AS moved_after,
        coalesce(gone_by, read_at + margin) AS moved_by,
        had_it_at AS seen_after,
        coalesce(gone_by, read_at) AS seen_by,
        learned_at,
        etl_run_id
    FROM states
    UNION ALL
    SELECT
        account_id,
        region,
        image_name,
        version,
        unnest(list_filter(aliases, lambda name: NOT list_contains(aliases_before, name))) AS alias,
        TRUE AS is_gain,
        coalesce(created_at, read_before - margin) AS moved_after,
        read_at + margin AS moved_by,
        -- A version may be created with an alias, so the alias may have moved at the instant of the creation.
        coalesce(created_at - to_milliseconds(1), read_before) AS seen_after,
        read_at AS seen_by,
        learned_at,
        etl_run_id
    FROM states
),
holdings AS (
    SELECT *
    FROM (
        SELECT
            *,
            lead(mark) OVER (
                PARTITION BY account_id, region, image_name, alias, version ORDER BY learned_at
            ) AS loss
        FROM marks AS mark
    )
    WHERE is_gain
),
following AS (
    SELECT
        *,
        lag(version) OVER held AS version_before,
        lag(loss) OVER held AS loss_before,
        lead(version) OVER held AS version_after,
        lead(seen_after) OVER held AS gain_after,
        lead(seen_by) OVER held AS gain_by
    FROM holdings
    WINDOW held AS (PARTITION BY account_id, region, image_name, alias ORDER BY seen_by, learned_at, version)
)
SELECT
    account_id,
    region,
    image_name,
    alias,
    CASE
        WHEN loss_before IS NULL
            OR (coalesce(seen_after < loss_before.seen_by, TRUE) AND coalesce(loss_before.seen_after < seen_by, TRUE))
            THEN version_before
    END AS from_version,
    version AS to_version,
    CASE WHEN from_version IS NULL THEN moved_after ELSE greatest(loss_before.moved_after, moved_after) END AS moved_after,
    moved_by,
    learned_at,
    etl_run_id
FROM following
UNION ALL
SELECT
    account_id,
    region,
    image_name,
    alias,
    version,
    NULL,
    loss.moved_after,
    loss.moved_by,
    loss.learned_at,
    loss.etl_run_id
FROM following
WHERE
    loss IS NOT NULL
    AND NOT (
        version_after IS NOT NULL
        AND coalesce(gain_after < loss.seen_by, TRUE)
        AND coalesce(loss.seen_after < gain_by, TRUE)
    );
