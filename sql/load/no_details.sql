-- What: the details of a run that has read none; see details.sql.
-- Parameters: none; reads the registered Arrow table `details_arrow`, which is empty.
-- Returns: nothing; makes the temporary table `details`.
CREATE OR REPLACE TEMP TABLE details AS
SELECT * FROM details_arrow;
