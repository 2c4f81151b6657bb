-- What: one thread: two take up to twice the processor's time for a run's rows, and are no sooner; each needs memory
-- of its own.
-- Parameters: none. Returns: nothing.
SET threads = 1;
