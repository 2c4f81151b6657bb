-- What: inserts one event for each changed version, with its details. Without details, insert_events does this.
-- Grain: one row per version and load.
-- Parameters: $run_id, $observed_at (UTC, greater than that of every earlier run).
-- Returns: nothing; appends to image_version_events. Runs after detailed.
INSERT INTO image_version_events BY NAME
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
    etl_certain_from,
    $observed_at::TIMESTAMPTZ AS etl_observed_at,
    etl_change,
    CASE WHEN etl_change = 'created' THEN [] ELSE etl_changed_columns END AS etl_changed_columns,
    etl_last_seen_at,
    etl_raw,
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
    etl_aliases_at,
    aliases_before AS etl_aliases_before,
    etl_described_at
FROM changed;
