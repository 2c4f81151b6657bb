-- What: stores version numbers that never were seen and are proved absent, so that they are not looked up again.
-- Parameters: $run_id.
-- Returns: nothing; reads the temporary tables `proofs`, with its bounds, and `listed`; runs after the changed
-- versions are written. Each row has the CreationTime of the image in whose life the numbers were absent, because
-- another life uses the numbers again. A proof from before that CreationTime may be about the earlier life, so it is
-- left out.
INSERT INTO absent_versions BY NAME
SELECT
    account_id,
    region,
    image_name,
    first_version,
    last_version,
    evidence,
    proved_at,
    $run_id AS etl_run_id,
    image_created_at
FROM proofs AS proof
JOIN (SELECT account_id, region, image_name, image_created_at, life_began_at FROM listed) AS listed
    USING (account_id, region, image_name)
WHERE
    created_until IS NULL
    AND (listed.image_created_at IS NULL OR proof.t0 >= listed.image_created_at)
    AND NOT EXISTS (
        FROM (FROM stored_near(getvariable('proofs_bounds')) SEMI JOIN proofs USING (account_id, region, image_name)) AS stored
        WHERE
            stored.account_id = proof.account_id
            AND stored.region = proof.region
            AND stored.image_name = proof.image_name
            AND stored.version BETWEEN proof.first_version AND proof.last_version
            AND (listed.life_began_at IS NULL OR stored.creation_time >= listed.life_began_at)
    )
ORDER BY account_id, region, image_name, first_version;
