-- What: the moves of each alias of each image from one version to another, in the order in which they were learned.
-- Columns: account_id, region, image_name, alias, from_version (null if no version is known to have had the alias),
-- to_version (null if no version has the alias any more), moved_after, moved_by (AWS does not say when an alias moves: it
-- moved between these two instants; moved_after is null if the aliases had not been read before), learned_at,
-- etl_run_id.
-- Filled by syncs with the setting `details`. A deleted version loses its aliases. An alias belongs to one version at a
-- time: a loss and the next gain are one move, even if two runs learned of them, unless the alias was seen without a
-- version in between.
CREATE OR REPLACE VIEW alias_moves AS
WITH states AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        coalesce(CASE WHEN etl_change <> 'deleted' THEN aliases END, []) AS aliases,
        coalesce(lag(CASE WHEN etl_change <> 'deleted' THEN aliases END) OVER (
            PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at
        ), []) AS aliases_before,
        CASE
            WHEN etl_change IN ('created', 'recreated') THEN coalesce(etl_aliases_before, creation_time)
            ELSE coalesce(etl_aliases_before, etl_last_seen_at)
        END AS moved_after,
        -- A version may be created with an alias, so the alias may have moved at the instant of the creation.
        moved_after - to_milliseconds((etl_change IN ('created', 'recreated') AND etl_aliases_before IS NULL)::INTEGER)
            AS nobody_had_it_at,
        CASE
            WHEN etl_change = 'deleted' THEN etl_valid_from
            ELSE coalesce(
                etl_aliases_at,
                CASE WHEN NOT list_contains(etl_changed_columns, 'last_modified_time') THEN etl_valid_from END,
                etl_observed_at
            )
        END AS moved_by,
        etl_observed_at AS learned_at,
        etl_run_id
    FROM image_version_events
),
marks AS (
    SELECT
        * EXCLUDE (aliases, aliases_before),
        unnest(list_filter(aliases_before, lambda name: NOT list_contains(aliases, name))) AS alias,
        FALSE AS is_gain
    FROM states
    UNION ALL
    SELECT
        * EXCLUDE (aliases, aliases_before),
        unnest(list_filter(aliases, lambda name: NOT list_contains(aliases_before, name))) AS alias,
        TRUE AS is_gain
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
        lead(nobody_had_it_at) OVER held AS gain_after,
        lead(moved_by) OVER held AS gain_by
    FROM holdings
    WINDOW held AS (PARTITION BY account_id, region, image_name, alias ORDER BY moved_by, learned_at, version)
)
SELECT
    account_id,
    region,
    image_name,
    alias,
    CASE
        WHEN loss_before IS NULL
            OR (coalesce(nobody_had_it_at < loss_before.moved_by, TRUE) AND coalesce(loss_before.moved_after < moved_by, TRUE))
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
        AND coalesce(gain_after < loss.moved_by, TRUE)
        AND coalesce(loss.moved_after < gain_by, TRUE)
    );
