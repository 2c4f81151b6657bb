-- What: what the load does to versions, scope by scope.
-- Parameters: none; reads the temporary view `landed` and tables `changed` and `deleted`.
-- Returns: account_id, region, inserted, updated, unchanged, reappeared, deleted; one row per scope.
-- What changed and was landed has landed once: what remains is unchanged, without a join.
SELECT
    account_id,
    region,
    count(*) FILTER (change IN ('created', 'recreated')) AS inserted,
    count(*) FILTER (change = 'modified') AS updated,
    count(*) FILTER (change = 'landed')
    - count(*) FILTER (was_landed AND change NOT IN ('landed', 'deleted')) AS unchanged,
    count(*) FILTER (change = 'reappeared') AS reappeared,
    count(*) FILTER (change = 'deleted') AS deleted
FROM (
    SELECT account_id, region, 'landed' AS change, TRUE AS was_landed
    FROM landed
    UNION ALL
    SELECT account_id, region, etl_change, was_landed
    FROM changed
    UNION ALL
    SELECT account_id, region, 'deleted', FALSE
    FROM deleted
)
GROUP BY account_id, region
ORDER BY account_id, region;
