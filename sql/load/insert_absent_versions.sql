-- What: remembers numbers that never were seen and are proved absent, so that they are not asked for again.
-- Parameters: $run_id.
-- Returns: nothing; reads the temporary table `proofs`, runs after the merge.
INSERT INTO absent_versions BY NAME
SELECT
    account_id,
    region,
    image_name,
    first_version,
    last_version,
    evidence,
    proved_at,
    $run_id AS etl_run_id
FROM proofs AS proof
WHERE
    evidence <> 'image_not_found'
    AND NOT EXISTS (
        FROM (FROM image_versions SEMI JOIN proofs USING (account_id, region, image_name)) AS stored
        WHERE
            stored.account_id = proof.account_id
            AND stored.region = proof.region
            AND stored.image_name = proof.image_name
            AND stored.version BETWEEN proof.first_version AND proof.last_version
    )
ORDER BY account_id, region, image_name, first_version;
