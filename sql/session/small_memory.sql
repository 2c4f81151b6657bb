-- What: a sync stays small on the machines of others: what does not fit goes to disk, beside the file.
-- Parameters: none. Returns: nothing.
SET memory_limit = '160MiB';
