-- What: how far each stream of the run was read; from the run's checkpoints.
-- Parameters: none; reads the registered Arrow table `listed_arrow`.
-- Returns: nothing; makes the temporary table `listed`, one row a stream.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT * FROM listed_arrow;
