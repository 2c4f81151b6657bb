-- What: the landed version numbers of a run that landed none; see landed_numbers.sql.
-- Parameters: none; reads the registered Arrow table `landed_arrow`, which is empty.
-- Returns: nothing; makes the temporary table `landed_numbers`.
CREATE OR REPLACE TEMP TABLE landed_numbers AS
SELECT account_id, region, image_name, version, etl_reading
FROM landed_arrow;
