-- The tables. connector/image_history/schema.py defines their columns, types and comments; a test compares both.

CREATE TABLE image_versions (
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    image_arn VARCHAR NOT NULL,
    image_version_arn VARCHAR NOT NULL,
    image_version_status VARCHAR NOT NULL,
    failure_reason VARCHAR,
    creation_time TIMESTAMP WITH TIME ZONE NOT NULL,
    last_modified_time TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_deleted_at TIMESTAMP WITH TIME ZONE,
    etl_delete_evidence VARCHAR,
    etl_raw VARCHAR,
    etl_run_id VARCHAR NOT NULL
);

CREATE TABLE image_version_events (
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR NOT NULL,
    version INTEGER NOT NULL,
    image_arn VARCHAR NOT NULL,
    image_version_arn VARCHAR NOT NULL,
    image_version_status VARCHAR NOT NULL,
    failure_reason VARCHAR,
    creation_time TIMESTAMP WITH TIME ZONE NOT NULL,
    last_modified_time TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_certain_from TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_observed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_change VARCHAR NOT NULL,
    etl_changed_columns VARCHAR[] NOT NULL,
    etl_last_seen_at TIMESTAMP WITH TIME ZONE,
    etl_delete_evidence VARCHAR,
    etl_raw VARCHAR,
    etl_run_id VARCHAR NOT NULL
);

CREATE TABLE images (
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR NOT NULL,
    image_arn VARCHAR NOT NULL,
    display_name VARCHAR,
    description VARCHAR,
    image_status VARCHAR NOT NULL,
    failure_reason VARCHAR,
    creation_time TIMESTAMP WITH TIME ZONE NOT NULL,
    last_modified_time TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_changed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_deleted_at TIMESTAMP WITH TIME ZONE,
    etl_delete_evidence VARCHAR,
    etl_raw VARCHAR,
    etl_run_id VARCHAR NOT NULL
);

CREATE TABLE runs (
    etl_run_id VARCHAR NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE NOT NULL,
    outcome VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    streams BIGINT NOT NULL,
    inserted BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    unchanged BIGINT NOT NULL,
    reappeared BIGINT NOT NULL,
    deleted BIGINT,
    list_images_calls BIGINT NOT NULL,
    list_image_versions_calls BIGINT NOT NULL,
    describe_image_calls BIGINT NOT NULL,
    describe_image_version_calls BIGINT NOT NULL,
    retries BIGINT NOT NULL,
    throttles BIGINT NOT NULL,
    bytes_received BIGINT NOT NULL,
    connector_version VARCHAR NOT NULL,
    duckdb_version VARCHAR NOT NULL,
    host VARCHAR NOT NULL
);

CREATE TABLE coverage (
    etl_run_id VARCHAR NOT NULL,
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR,
    listing VARCHAR NOT NULL,
    outcome VARCHAR NOT NULL,
    pages BIGINT NOT NULL,
    rows BIGINT NOT NULL,
    readings BIGINT NOT NULL,
    phantoms BIGINT NOT NULL,
    deleted BIGINT,
    t0 TIMESTAMP WITH TIME ZONE,
    watermark TIMESTAMP WITH TIME ZONE,
    error_code VARCHAR,
    error_message VARCHAR
);

CREATE TABLE streams (
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR NOT NULL,
    watermark TIMESTAMP WITH TIME ZONE,
    last_full_at TIMESTAMP WITH TIME ZONE,
    highest_version INTEGER,
    first_version_seen INTEGER,
    live_versions BIGINT NOT NULL,
    etl_run_id VARCHAR NOT NULL
);

CREATE TABLE absent_versions (
    account_id VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    image_name VARCHAR NOT NULL,
    first_version INTEGER NOT NULL,
    last_version INTEGER NOT NULL,
    evidence VARCHAR NOT NULL,
    proved_at TIMESTAMP WITH TIME ZONE NOT NULL,
    etl_run_id VARCHAR NOT NULL
);

CREATE TABLE scope_accounts (
    access VARCHAR NOT NULL,
    region VARCHAR NOT NULL,
    account_id VARCHAR NOT NULL,
    etl_run_id VARCHAR NOT NULL
);

CREATE TABLE schema_drift (
    operation VARCHAR NOT NULL,
    member VARCHAR NOT NULL,
    value VARCHAR,
    first_seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    occurrences BIGINT NOT NULL,
    etl_run_id VARCHAR NOT NULL
);
