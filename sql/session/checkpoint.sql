-- What: has everything that was committed in the file itself, and nothing in DuckDB's log beside it.
-- Parameters: none. Returns: nothing.
CHECKPOINT;
