-- What: every word that completes a statement in the shell, and the relation of each column.
-- Parameters: none.
-- Returns: kind (column, relation or function), word, relation (null but for columns).
SELECT 'column' AS kind, column_name AS word, table_name AS relation
FROM duckdb_columns()
WHERE NOT internal AND NOT starts_with(table_name, 'schema_migrations')
UNION
SELECT 'relation', table_name, NULL
FROM duckdb_columns()
WHERE NOT internal
UNION
SELECT if(function_type = 'table_macro', 'relation', 'function'), function_name, NULL
FROM duckdb_functions()
WHERE
    function_type IN ('scalar', 'aggregate', 'macro', 'table_macro')
    AND (NOT internal OR function_type <> 'table_macro')
    AND regexp_full_match(function_name, '[a-z][a-z0-9_]*')
ORDER BY kind, word, relation;
