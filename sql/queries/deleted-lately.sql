-- What: recently learned deletions: since when the version is gone, and how that was proved, the latest first.
-- Parameters: $days = 30 (how many days back).
-- Columns: account_id, region, image_name, version, last_status, last_seen_at, gone_since, evidence, learned_at.
SELECT
    account_id,
    region,
    image_name,
    version,
    image_version_status AS last_status,
    etl_last_seen_at AS last_seen_at,
    etl_valid_from AS gone_since,
    etl_delete_evidence AS evidence,
    etl_observed_at AS learned_at
FROM (
    SELECT
        *,
        lead(etl_change) OVER (
            PARTITION BY account_id, region, image_name, version
            ORDER BY etl_observed_at
        ) AS next_change
    FROM image_version_events
)
WHERE
    etl_change = 'deleted'
    AND next_change IS DISTINCT FROM 'reappeared'
    AND epoch_ms(etl_observed_at) >= epoch_ms(now()) - $days::BIGINT * 86_400_000
ORDER BY etl_observed_at DESC, account_id, region, image_name, version DESC;
