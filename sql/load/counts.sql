-- What: what the load does to versions, scope by scope.
-- Parameters: none; reads the temporary tables `landed` and `changed`.
-- Returns: account_id, region, inserted, updated, unchanged, reappeared; one row per scope with landed rows.
SELECT
    landed.account_id,
    landed.region,
    count(*) FILTER (changed.etl_change IN ('created', 'recreated')) AS inserted,
    count(*) FILTER (changed.etl_change = 'modified') AS updated,
    count(*) FILTER (changed.etl_change IS NULL) AS unchanged,
    count(*) FILTER (changed.etl_change = 'reappeared') AS reappeared
FROM landed
LEFT JOIN changed USING (account_id, region, image_name, version)
GROUP BY ALL
ORDER BY ALL;
