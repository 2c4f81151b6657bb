-- A run may be loaded in parts: each row of coverage says when it was loaded, and the row of a scope says what was
-- done to its versions. Earlier runs were loaded as a whole, and what they did in each scope is unknown.

ALTER TABLE coverage RENAME TO coverage_before;

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
    error_message VARCHAR,
    details VARCHAR,
    detailed BIGINT,
    details_error VARCHAR,
    rested BIGINT,
    hinted BIGINT,
    streams BIGINT,
    others VARCHAR,
    t1 TIMESTAMP WITH TIME ZONE,
    loaded_at TIMESTAMP WITH TIME ZONE NOT NULL,
    inserted BIGINT,
    updated BIGINT,
    unchanged BIGINT,
    reappeared BIGINT
);

INSERT INTO coverage BY NAME
SELECT before.*, runs.finished_at AS loaded_at
FROM coverage_before AS before
JOIN runs USING (etl_run_id)
ORDER BY before.rowid;

DROP TABLE coverage_before;
