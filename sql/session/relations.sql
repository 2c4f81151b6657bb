-- What: every documented table, view and column, so that messages can name the nearest to a wrong name.
-- Parameters: none.
-- Returns: table_name, column_name.
SELECT table_name, column_name
FROM duckdb_columns()
WHERE NOT internal AND table_name NOT IN ('schema_migrations', 'schema_objects', 'warehouse_identity')
ORDER BY table_name, column_index;
