-- What has been applied to this file; the first thing that is made in a new warehouse.

CREATE TABLE schema_migrations (
    number INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL,
    connector_version VARCHAR NOT NULL
);

CREATE TABLE schema_objects (
    fingerprint VARCHAR NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE NOT NULL
);
