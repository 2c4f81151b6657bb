-- What: versions that are stored twice.
-- Parameters: none; within a load it looks at the streams in the temporary table `touched` only.
-- Returns: account_id, region, image_name, version, copies; no row when healthy.
SELECT account_id, region, image_name, version, count(*) AS copies
FROM image_versions
SEMI JOIN touched USING (account_id, region, image_name)
GROUP BY ALL
HAVING count(*) > 1;
