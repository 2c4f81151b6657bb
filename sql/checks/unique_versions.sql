-- What: versions that are stored twice.
-- Parameters: none; within a load it looks at the streams in the temporary table `touched` only, within its bounds.
-- Returns: account_id, region, image_name, version, copies; no row when healthy.
-- Hashes first, which are counted twice as fast; only what they point at is counted by its key. Mostly they point at
-- nothing, and the second scan ends before it begins.
WITH suspected AS (
    SELECT hash(account_id, region, image_name, version) AS key
    FROM stored_near(getvariable('touched_bounds'))
    SEMI JOIN touched USING (account_id, region, image_name)
    GROUP BY key
    HAVING count(*) > 1
)
SELECT account_id, region, image_name, version, count(*) AS copies
FROM image_versions
WHERE hash(account_id, region, image_name, version) IN (FROM suspected)
GROUP BY ALL
HAVING count(*) > 1;
