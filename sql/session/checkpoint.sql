-- What: writes all committed data into the file itself, so that DuckDB's log beside it is empty.
-- Parameters: none. Returns: nothing.
CHECKPOINT;
