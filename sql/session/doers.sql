-- What: every function of this DuckDB that may do more than compute: it calls them volatile, or they stand where a table
-- stands, of which it tells nothing.
-- Parameters: none.
-- Returns: function_name.
SELECT DISTINCT function_name
FROM duckdb_functions()
WHERE has_side_effects OR (function_type = 'table' AND internal);
