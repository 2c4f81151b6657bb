-- What: inserts the changed versions with their details, in the order of `changed`.
-- Parameters: $run_id, $observed_at (UTC).
-- Returns: nothing; runs after detailed and delete_changed_versions.
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
    base_image,
    container_image,
    job_type,
    ml_framework,
    programming_lang,
    processor,
    horovod,
    vendor_guidance,
    release_notes,
    aliases,
    etl_details_raw,
    etl_described_at,
    etl_aliases_at,
    etl_read_at,
    etl_aliases_known_at
FROM changed;
