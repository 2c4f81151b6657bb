-- The migrations, and the views and comments, that were applied to this file. These are the first tables of a
-- warehouse.

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
