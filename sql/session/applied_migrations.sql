-- What: the newest migration of this warehouse.
-- Parameters: none.
-- Returns: newest, the migration's number.
SELECT max(number) AS newest
FROM schema_migrations;
