-- What: every function of this DuckDB that may do more than compute: functions that it marks as volatile, and all table
-- functions, which it does not mark.
-- Parameters: none.
-- Returns: function_name.
SELECT DISTINCT function_name
FROM duckdb_functions()
WHERE has_side_effects OR (function_type = 'table' AND internal);
