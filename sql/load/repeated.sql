-- What: the versions that the run may have landed more than once: their listing was read again, or rows moved while
-- it was read.
-- Parameters: none; reads the variable `segments`.
-- Returns: nothing; makes the temporary table `repeated` of their keys' hashes, to which counting is twice as fast.
-- A version that merely has the hash of another one does no harm: what is done with repeated ones is right for all.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT hash(account_id, region, image_name, version) AS key
FROM read_parquet(getvariable('segments'))
GROUP BY key
HAVING count(*) > 1;
