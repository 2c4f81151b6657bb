-- What: live versions that the run proved absent.
-- Parameters: none; reads the temporary table `proofs`.
-- Returns: nothing; makes the temporary table `deleted`, one row a version. Runs after the merge.
-- etl_last_seen_at is the later of the last complete full listing before this run and the run that wrote the row.
CREATE OR REPLACE TEMP TABLE deleted AS
WITH gone AS (
    SELECT
        stored.*,
        proof.evidence,
        greatest(proof.proved_at, stored.etl_valid_from) AS gone_since
    FROM image_versions AS stored
    JOIN proofs AS proof
        ON proof.account_id = stored.account_id
        AND proof.region = stored.region
        AND proof.image_name = stored.image_name
        AND stored.version BETWEEN proof.first_version AND proof.last_version
    WHERE stored.etl_deleted_at IS NULL
),
listings AS (
    SELECT account_id, region, image_name, etl_run_id, listing, outcome, t0
    FROM coverage
    SEMI JOIN gone USING (account_id, region, image_name)
),
whole AS (
    SELECT account_id, region, image_name, max(t0) AS t0
    FROM listings
    WHERE listing = 'full' AND outcome = 'complete'
    GROUP BY account_id, region, image_name
)
SELECT
    gone.* EXCLUDE (etl_deleted_at, etl_delete_evidence),
    greatest(whole.t0, written.t0, gone.last_modified_time) AS etl_last_seen_at
FROM gone
LEFT JOIN whole USING (account_id, region, image_name)
LEFT JOIN listings AS written USING (account_id, region, image_name, etl_run_id);
