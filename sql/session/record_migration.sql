-- What: records an applied migration, in the migration's own transaction.
-- Parameters: $number, $name, $connector_version.
-- Returns: nothing.
INSERT INTO schema_migrations
VALUES ($number, $name, now(), $connector_version);
