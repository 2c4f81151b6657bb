-- What: the versions that were found deleted after an instant.
-- Grain: one row per deletion.
-- Parameters: $since.
-- Returns: account_id, region, image_name, version, learned_at, last_seen_at, gone_at, evidence.
SELECT
    account_id,
    region,
    image_name,
    version,
    etl_observed_at AS learned_at,
    etl_last_seen_at AS last_seen_at,
    etl_valid_from AS gone_at,
    etl_delete_evidence AS evidence
FROM image_version_events
WHERE etl_change = 'deleted' AND etl_observed_at > $since::TIMESTAMPTZ
ORDER BY account_id, region, image_name, version, learned_at;
