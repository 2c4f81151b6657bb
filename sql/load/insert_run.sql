-- What: inserts the run's own record. The record makes the load exactly-once, so it is in the same transaction.
-- Parameters: none; reads the registered Arrow table `run_arrow`, one row.
-- Returns: nothing; appends to runs.
INSERT INTO runs BY NAME
SELECT * FROM run_arrow;
