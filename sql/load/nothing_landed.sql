-- What: the landed versions of a run that has landed none; see landed.sql.
-- Parameters: none; reads the registered Arrow table `landed_arrow`, which is empty.
-- Returns: nothing; makes the temporary view `landed`.
CREATE OR REPLACE TEMP VIEW landed AS
SELECT * EXCLUDE (etl_reading, etl_page)
FROM landed_arrow;
