-- What: what happened to each version of each image, in words, one row per event.
-- Columns: account_id, region, image_name, version, happened_at (AWS's time; for a deletion, when the version
-- was first missing), learned_at, change, description, image_version_status, failure_reason, changes (name, before and
-- after of each column that differs), etl_last_seen_at, etl_delete_evidence, etl_run_id.
-- Partitioned by the composite key, so that a filter on an image reads that image only.
CREATE OR REPLACE VIEW image_timeline AS
SELECT
    account_id,
    region,
    image_name,
    version,
    after.etl_valid_from AS happened_at,
    after.etl_observed_at AS learned_at,
    after.etl_change AS change,
    described_change(after.etl_change, before, after) AS description,
    after.image_version_status,
    after.failure_reason,
    CASE WHEN before IS NULL THEN [] ELSE changes_between(before, after) END AS changes,
    after.etl_last_seen_at,
    after.etl_delete_evidence,
    after.etl_run_id
FROM (
    SELECT
        account_id,
        region,
        image_name,
        version,
        lag(event) OVER (
            PARTITION BY account_id, region, image_name, version
            ORDER BY etl_observed_at
        ) AS before,
        event AS after
    FROM image_version_events AS event
);
