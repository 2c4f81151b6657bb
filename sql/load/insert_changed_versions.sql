-- What: inserts the changed versions, in the order of `changed`.
-- Parameters: $run_id, $observed_at (UTC).
-- Returns: nothing; runs after delete_changed_versions.
INSERT INTO image_versions BY NAME
SELECT
    account_id,
    region,
    image_name,
    version,
    image_arn,
    image_version_arn,
    image_version_status,
    failure_reason,
    creation_time,
    last_modified_time,
    etl_valid_from,
    etl_raw,
    CASE
        WHEN etl_change = 'recreated' THEN $observed_at::TIMESTAMPTZ
        ELSE coalesce(stored_first_seen_at, $observed_at::TIMESTAMPTZ)
    END AS etl_first_seen_at,
    $observed_at::TIMESTAMPTZ AS etl_changed_at,
    $run_id AS etl_run_id,
    etl_read_at
FROM changed;
