-- What: the streams whose versions this load changes, or of which numbers are proved absent; the checks read only
-- these.
-- Parameters: none; reads the temporary tables `changed`, `deleted` and `proofs`.
-- Returns: nothing; makes the temporary table `touched`, one row per stream.
CREATE OR REPLACE TEMP TABLE touched AS
SELECT account_id, region, image_name
FROM changed
UNION
SELECT account_id, region, image_name
FROM deleted
UNION
SELECT account_id, region, image_name
FROM proofs;
