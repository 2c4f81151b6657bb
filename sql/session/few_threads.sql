-- What: limits the number of threads. For a run's rows, two threads take up to twice the CPU time of one and are not
-- faster, and each thread needs its own memory. Scans of a large file are faster with more threads.
-- Parameters: $threads, the most threads; never more than DuckDB's default.
-- Returns: nothing.
SET threads = least($threads, current_setting('threads'));
