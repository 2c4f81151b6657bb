-- What: the versions whose creation or deletion failed, learned after an instant.
-- Grain: one row per failure.
-- Parameters: $since.
-- Returns: account_id, region, image_name, version, learned_at, image_version_status, failure_reason.
SELECT
    account_id,
    region,
    image_name,
    version,
    etl_observed_at AS learned_at,
    image_version_status,
    failure_reason
FROM image_version_events
WHERE
    etl_observed_at > $since::TIMESTAMPTZ
    AND etl_change <> 'deleted'
    AND image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED')
    AND (etl_change <> 'modified' OR list_contains(etl_changed_columns, 'image_version_status'))
ORDER BY account_id, region, image_name, version, learned_at;
