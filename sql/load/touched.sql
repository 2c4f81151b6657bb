-- What: the streams whose versions this load changes, or whose numbers it explains; the checks look at these.
-- Parameters: none; reads the temporary tables `changed`, `deleted` and `proofs`.
-- Returns: nothing; makes the temporary table `touched`, one row a stream.
CREATE OR REPLACE TEMP TABLE touched AS
SELECT account_id, region, image_name
FROM changed
UNION
SELECT account_id, region, image_name
FROM deleted
UNION
SELECT account_id, region, image_name
FROM proofs;
