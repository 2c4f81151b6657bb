-- What: the accepted listings that lack a live version for which there is no proof: another run has stored the
-- version since these listings were compared with the warehouse.
-- Parameters: none; reads the temporary view `landed` and the temporary tables `listed`, with its bounds, and
-- `proofs`; runs before the changed versions are written.
-- Returns: account_id, region, image_name; one row per stream. A version that was read after a listing's T0 does not
-- count as missing in that listing.
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
