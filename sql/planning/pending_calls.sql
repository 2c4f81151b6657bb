-- What: how many stored versions have details that are due: never read, older than details_every, or contradicted.
-- Grain: one row per stream that has such versions, or versions with an alias.
-- Parameters: $every_ms (the greatest age of details; 0: all are due), $now_ms (the present time of scopes that
-- seen_arrow lacks, UTC epoch milliseconds); reads the relation `seen_arrow` (account_id, region, seen_ms: the present
-- time by AWS's clock).
-- Returns: account_id, region, image_name, descriptions, aliases (how many of each call are due), both_calls (versions
-- for which both are due), aliased (other versions that have an alias), unread (whether a call for aliases is due that
-- was never answered).
-- The same rule as in settle/pending_details.sql, for a run that lands nothing and that reads all stored images.
WITH alive AS (
    FROM image_versions
    WHERE etl_deleted_at IS NULL
),
held AS (
    SELECT account_id, region, image_name, version, unnest(aliases) AS alias, etl_aliases_at AS read_at
    FROM alive
    WHERE len(aliases) > 0
),
contradicted AS (
    SELECT DISTINCT mine.account_id, mine.region, mine.image_name, mine.version
    FROM held AS mine
    JOIN held AS others USING (account_id, region, image_name, alias)
    WHERE others.version <> mine.version AND (mine.read_at IS NULL OR others.read_at >= mine.read_at)
),
due AS (
    SELECT
        alive.account_id,
        alive.region,
        alive.image_name,
        alive.etl_aliases_at,
        coalesce(len(alive.aliases) > 0, FALSE) AS has_alias,
        alive.image_version_status NOT IN ('CREATING', 'DELETING') AS is_settled,
        coalesce(seen.seen_ms, $now_ms) - $every_ms AS before_ms,
        is_settled
        AND ($every_ms = 0 OR etl_described_at IS NULL OR epoch_ms(etl_described_at) < before_ms) AS wants_description,
        contradicted.version IS NOT NULL
        OR (
            is_settled
            AND ($every_ms = 0 OR etl_aliases_at IS NULL OR epoch_ms(etl_aliases_at) < before_ms)
        ) AS wants_aliases
    FROM alive
    LEFT JOIN contradicted USING (account_id, region, image_name, version)
    LEFT JOIN seen_arrow AS seen USING (account_id, region)
)
SELECT
    account_id,
    region,
    image_name,
    count(*) FILTER (wants_description) AS descriptions,
    count(*) FILTER (wants_aliases) AS aliases,
    count(*) FILTER (wants_description AND wants_aliases) AS both_calls,
    count(*) FILTER (NOT wants_aliases AND has_alias) AS aliased,
    bool_or(wants_aliases AND etl_aliases_at IS NULL) AS unread
FROM due
WHERE wants_description OR wants_aliases OR has_alias
GROUP BY account_id, region, image_name;
