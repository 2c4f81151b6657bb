-- What: every table, view and column that a query can name, so that messages can name the nearest to a wrong name.
-- Parameters: none.
-- Returns: table_name, column_name.
SELECT table_name, column_name
FROM duckdb_columns()
WHERE NOT internal AND NOT starts_with(table_name, 'schema_')
ORDER BY table_name, column_index;
