-- What: inserts a row of coverage for each stream that had no row in the run before its details were read.
-- Parameters: $run_id; reads the temporary table `stream_coverage` and the registered Arrow table `detailed_arrow`.
-- Returns: nothing; appends to coverage. Such a row gets the loaded_at of its scope's row, which stood for the stream
-- until now, and so belongs to the same part of the run.
INSERT INTO coverage BY NAME
SELECT
    stream_coverage.* EXCLUDE (repeats, rested, hinted, streams, others, t1),
    $run_id AS etl_run_id,
    scope.loaded_at
FROM stream_coverage
SEMI JOIN detailed_arrow USING (account_id, region, image_name)
JOIN coverage AS scope
    ON scope.etl_run_id = $run_id
    AND scope.account_id = stream_coverage.account_id
    AND scope.region = stream_coverage.region
    AND scope.image_name IS NULL
ANTI JOIN (
    SELECT account_id, region, image_name
    FROM coverage
    WHERE etl_run_id = $run_id AND image_name IS NOT NULL
) AS own
    ON own.account_id = stream_coverage.account_id AND own.region = stream_coverage.region AND own.image_name = stream_coverage.image_name
WHERE stream_coverage.listing <> 'none' OR scope.others IS NOT NULL
ORDER BY stream_coverage.account_id, stream_coverage.region, stream_coverage.image_name;
