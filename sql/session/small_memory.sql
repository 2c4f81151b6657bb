-- What: limits a sync's memory; data that does not fit is spilled to disk, beside the file.
-- Parameters: none. Returns: nothing.
SET memory_limit = '160MiB';
