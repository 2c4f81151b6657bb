-- What: images that are stored twice.
-- Parameters: none.
-- Returns: account_id, region, image_name, copies; no row when healthy.
SELECT account_id, region, image_name, count(*) AS copies
FROM images
GROUP BY ALL
HAVING count(*) > 1;
