-- What: how far each stream of the run was read; from the run's checkpoints.
-- Parameters: none; reads the registered Arrow table `listed_arrow`.
-- Returns: nothing; makes the temporary table `listed`, one row a stream; `place` stands for its key among them.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT *, (row_number() OVER ())::INTEGER AS place
FROM listed_arrow;
