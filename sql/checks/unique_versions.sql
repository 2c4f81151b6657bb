-- What: versions that are stored twice.
-- Parameters: none; a load checks only the streams in the temporary table `touched`, within its bounds.
-- Returns: account_id, region, image_name, version, copies; no row when healthy.
-- Counts hashes first, which is twice as fast, and counts by key only the versions whose hash occurs twice. Usually there
-- are none, and the second scan reads nothing.
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
