-- What: the number of versions in each scope by what the load does to them.
-- Parameters: none; reads the temporary view `landed` and the temporary tables `changed` and `deleted`.
-- Returns: account_id, region, inserted, updated, unchanged, reappeared, deleted; one row per scope.
-- A changed version that was landed has exactly one row in `landed`, so `unchanged` is a difference and needs no
-- join.
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
