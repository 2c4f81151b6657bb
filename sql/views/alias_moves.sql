-- What: what became of each alias of each image: which version it left and which it came to, in the order learned.
-- Columns: account_id, region, image_name, alias, from_version (null where no version is known to have had it),
-- to_version (null where none has it any more), moved_after, moved_by (AWS does not tell when an alias moves: it was
-- between these two; moved_after is null where nobody had asked before), learned_at, etl_run_id.
-- Filled by syncs with the setting `details`. A version that is deleted leaves its aliases.
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
        CASE WHEN etl_change IN ('created', 'recreated') THEN creation_time ELSE etl_last_seen_at END AS moved_after,
        CASE
            WHEN etl_change = 'deleted' THEN etl_valid_from
            WHEN etl_change = 'modified' AND NOT list_contains(etl_changed_columns, 'last_modified_time')
                THEN etl_valid_from
            ELSE etl_observed_at
        END AS moved_by,
        etl_observed_at AS learned_at,
        etl_run_id
    FROM image_version_events
),
lost AS (
    SELECT
        * EXCLUDE (aliases, aliases_before),
        unnest(list_filter(aliases_before, lambda name: NOT list_contains(aliases, name))) AS alias
    FROM states
),
gained AS (
    SELECT
        * EXCLUDE (aliases, aliases_before),
        unnest(list_filter(aliases, lambda name: NOT list_contains(aliases_before, name))) AS alias
    FROM states
)
SELECT
    account_id,
    region,
    image_name,
    alias,
    lost.version AS from_version,
    gained.version AS to_version,
    greatest(lost.moved_after, gained.moved_after) AS moved_after,
    least(lost.moved_by, gained.moved_by) AS moved_by,
    greatest(lost.learned_at, gained.learned_at) AS learned_at,
    etl_run_id
FROM lost
FULL JOIN gained USING (account_id, region, image_name, alias, etl_run_id);
