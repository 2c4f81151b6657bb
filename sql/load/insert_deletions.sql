-- What: inserts one event for each deleted version, with its last known state.
-- Grain: one row per version and load.
-- Parameters: $run_id, $observed_at (UTC, greater than that of insert_events).
-- Returns: nothing; appends to image_version_events.
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
    gone_since AS etl_valid_from,
    gone_since AS etl_certain_from,
    $observed_at::TIMESTAMPTZ AS etl_observed_at,
    'deleted' AS etl_change,
    [] AS etl_changed_columns,
    etl_last_seen_at,
    evidence AS etl_delete_evidence,
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
    etl_aliases_known_at AS etl_aliases_before
FROM deleted
ORDER BY account_id, region, image_name, version;
