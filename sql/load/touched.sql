-- What: the streams whose versions this load changes; the checks look at these.
-- Parameters: none; reads the temporary table `changed`.
-- Returns: nothing; makes the temporary table `touched`, one row a stream.
CREATE OR REPLACE TEMP TABLE touched AS
SELECT DISTINCT account_id, region, image_name
FROM changed;
