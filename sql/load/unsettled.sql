-- What: listings that were accepted without a word on a version that lives: another run has brought it since they
-- were held against the warehouse.
-- Parameters: none; reads the temporary view `landed` and the tables `listed`, with its bounds, and `proofs`, before the merge.
-- Returns: account_id, region, image_name; one row a stream. What was read after a listing began is nothing that
-- this one could lack.
SELECT DISTINCT stored.account_id, stored.region, stored.image_name
FROM stored_near(getvariable('listed_bounds')) AS stored
JOIN listed USING (account_id, region, image_name)
LEFT JOIN proofs AS proof
    ON proof.account_id = stored.account_id
    AND proof.region = stored.region
    AND proof.image_name = stored.image_name
    AND stored.version BETWEEN proof.first_version AND proof.last_version
    AND stored.creation_time <= proof.created_until
ANTI JOIN landed USING (account_id, region, image_name, version)
WHERE
    (listed.outcome = 'gone' OR (listed.outcome = 'complete' AND listed.listing = 'full'))
    AND proof.image_name IS NULL
    AND stored.etl_deleted_at IS NULL
    AND (stored.etl_read_at IS NULL OR stored.etl_read_at <= listed.t0);
