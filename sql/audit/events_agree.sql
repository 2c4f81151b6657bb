-- What: stored versions that differ from their newest event.
-- Parameters: none. Reads every event, so that a load does not run it; the tests do, after each sync.
-- Returns: account_id, region, image_name, version; no row when healthy.
SELECT target.account_id, target.region, target.image_name, target.version
FROM image_versions AS target
LEFT JOIN (
    FROM image_version_events
    QUALIFY row_number() OVER (
        PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at DESC
    ) = 1
) AS event USING (account_id, region, image_name, version)
WHERE
    event.version IS NULL
    OR event.last_modified_time IS DISTINCT FROM target.last_modified_time
    OR event.image_version_status IS DISTINCT FROM target.image_version_status
    OR event.creation_time IS DISTINCT FROM target.creation_time;
