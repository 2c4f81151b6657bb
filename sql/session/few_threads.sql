-- What: few threads: for a run's rows two take up to twice the processor's time that one takes, and are no sooner; each
-- needs memory of its own. Scans of a large file are worth more of them.
-- Parameters: $threads, how many are worth it; there are no more than DuckDB would take.
-- Returns: nothing.
SET threads = least($threads, current_setting('threads'));
