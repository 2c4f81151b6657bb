-- What: the stored versions within the bounds of the versions that a load or a comparison needs; see near.sql.
-- Parameters: none.
-- Returns: nothing; makes the temporary macro `stored_near`. Runs after near.
CREATE OR REPLACE TEMP MACRO stored_near(bounds) AS TABLE
SELECT *
FROM image_versions
WHERE near(bounds, account_id, region, image_name, version);
