-- What: no more threads than that memory has shares for; each needs some of its own.
-- Parameters: none. Returns: nothing.
SET threads = least(4, current_setting('threads'));
