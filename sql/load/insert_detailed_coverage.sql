-- What: a row of coverage for each stream that had none in the run until its details were told.
-- Parameters: $run_id; reads the temporary table `told` and the registered Arrow table `detailed_arrow`.
-- Returns: nothing; appends to coverage. Such a row is of the part that its scope was loaded with: until then the
-- scope's row tells of the stream.
INSERT INTO coverage BY NAME
SELECT
    told.* EXCLUDE (repeats, rested, hinted, streams, others, t1),
    $run_id AS etl_run_id,
    scope.loaded_at
FROM told
SEMI JOIN detailed_arrow USING (account_id, region, image_name)
JOIN coverage AS scope
    ON scope.etl_run_id = $run_id
    AND scope.account_id = told.account_id
    AND scope.region = told.region
    AND scope.image_name IS NULL
ANTI JOIN (
    SELECT account_id, region, image_name
    FROM coverage
    WHERE etl_run_id = $run_id AND image_name IS NOT NULL
) AS own
    ON own.account_id = told.account_id AND own.region = told.region AND own.image_name = told.image_name
WHERE told.listing <> 'none' OR scope.others IS NOT NULL
ORDER BY told.account_id, told.region, told.image_name;
