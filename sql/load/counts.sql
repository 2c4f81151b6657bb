-- What: what the load does to versions, scope by scope.
-- Parameters: none; reads the temporary tables `landed`, `changed` and `deleted`.
-- Returns: account_id, region, inserted, updated, unchanged, reappeared, deleted; one row per scope.
SELECT
    account_id,
    region,
    count(*) FILTER (change IN ('created', 'recreated')) AS inserted,
    count(*) FILTER (change = 'modified') AS updated,
    count(*) FILTER (change = 'unchanged') AS unchanged,
    count(*) FILTER (change = 'reappeared') AS reappeared,
    count(*) FILTER (change = 'deleted') AS deleted
FROM (
    SELECT landed.account_id, landed.region, coalesce(changed.etl_change, 'unchanged') AS change
    FROM landed
    LEFT JOIN changed USING (account_id, region, image_name, version)
    UNION ALL
    SELECT account_id, region, 'deleted'
    FROM deleted
)
GROUP BY account_id, region
ORDER BY account_id, region;
