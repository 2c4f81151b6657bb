-- What: the live versions that the run proved absent.
-- Parameters: none; reads the temporary tables `proofs`, with its bounds, and `outrun`.
-- Returns: nothing; makes the temporary table `deleted`, one row per version. Runs after the changed versions are
-- written. A proof ends only versions that were created no later than its `created_until`. It does not end a state
-- that was read after the proof's T0, nor a version of a stream of which another run has an accepted listing with a
-- later T0. If several proofs end a version, the earliest one counts, because etl_valid_from is an upper bound of the
-- deletion. etl_last_seen_at is a lower bound: the latest of the last complete full listing before the proof, the
-- listing that showed the last state, and the last change.
CREATE OR REPLACE TEMP TABLE deleted AS
WITH gone AS (
    SELECT
        stored.*,
        proof.evidence,
        proof.t0,
        greatest(proof.proved_at, stored.etl_valid_from) AS gone_since
    FROM stored_near(getvariable('proofs_bounds')) AS stored
    JOIN proofs AS proof
        ON proof.account_id = stored.account_id
        AND proof.region = stored.region
        AND proof.image_name = stored.image_name
        AND stored.version BETWEEN proof.first_version AND proof.last_version
        AND stored.creation_time <= proof.created_until
    LEFT JOIN outrun
        ON outrun.account_id = stored.account_id
        AND outrun.region = stored.region
        AND outrun.image_name = stored.image_name
    WHERE
        stored.etl_deleted_at IS NULL
        AND (stored.etl_read_at IS NULL OR stored.etl_read_at <= proof.t0)
        AND (outrun.accepted_until IS NULL OR outrun.accepted_until <= proof.t0)
    QUALIFY row_number() OVER (
        PARTITION BY stored.account_id, stored.region, stored.image_name, stored.version
        ORDER BY proof.proved_at, proof.evidence
    ) = 1
),
covered AS (
    SELECT
        coverage.*,
        proved.proof_t0,
        lead(coverage.loaded_at) OVER (
            PARTITION BY coverage.account_id, coverage.region, coverage.image_name ORDER BY coverage.loaded_at
        ) AS next_at
    FROM coverage
    JOIN (
        SELECT account_id, region, image_name, min(t0) AS proof_t0
        FROM gone
        GROUP BY account_id, region, image_name
    ) AS proved USING (account_id, region, image_name)
),
lists AS (
    SELECT coverage.account_id, coverage.region, coverage.t0, coverage.loaded_at
    FROM coverage
    SEMI JOIN gone USING (account_id, region)
    WHERE coverage.others = 'complete'
),
whole AS (
    SELECT covered.account_id, covered.region, covered.image_name, greatest(max(covered.t0), max(lists.t0)) AS t0
    FROM covered
    LEFT JOIN lists
        ON lists.account_id = covered.account_id
        AND lists.region = covered.region
        AND lists.loaded_at > covered.loaded_at
        AND (covered.next_at IS NULL OR lists.loaded_at < covered.next_at)
        AND lists.t0 <= covered.proof_t0
    WHERE covered.listing = 'full' AND covered.outcome = 'complete' AND covered.t0 <= covered.proof_t0
    GROUP BY covered.account_id, covered.region, covered.image_name
)
SELECT
    gone.* EXCLUDE (etl_deleted_at, etl_delete_evidence, etl_read_at, t0),
    gone.t0 AS etl_read_at,
    least(greatest(whole.t0, gone.etl_read_at, gone.last_modified_time), gone.gone_since) AS etl_last_seen_at
FROM gone
LEFT JOIN whole USING (account_id, region, image_name);
