-- What: the tables of the file; they distinguish a warehouse from another program's database.
-- Parameters: none.
-- Returns: table_name, sorted.
SELECT table_name
FROM duckdb_tables()
WHERE NOT internal AND NOT temporary
ORDER BY table_name;
