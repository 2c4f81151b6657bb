-- What: inserts one event for each changed version.
-- Grain: one row per version and load.
-- Parameters: $run_id, $observed_at (UTC, greater than that of every earlier run).
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
    etl_valid_from,
    last_modified_time AS etl_certain_from,
    $observed_at::TIMESTAMPTZ AS etl_observed_at,
    etl_change,
    etl_changed_columns,
    etl_raw,
    $run_id AS etl_run_id
FROM changed;
