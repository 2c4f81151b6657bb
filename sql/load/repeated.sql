-- What: the versions that the run may have landed more than once, because their listing was read again, or because
-- rows moved to another page while it was read.
-- Parameters: none; reads the variable `segments`.
-- Returns: nothing; makes the temporary table `repeated` of the hashes of their keys: hashes are counted twice as
-- fast. It does no harm if a version only has the same hash as another one: the view `landed` gives the right row for
-- any version that it treats as repeated.
CREATE OR REPLACE TEMP TABLE repeated AS
SELECT hash(account_id, region, image_name, version) AS key
FROM read_parquet(getvariable('segments'))
GROUP BY key
HAVING count(*) > 1;
