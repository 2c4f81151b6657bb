-- What: the ranges of version numbers that the run proved absent.
-- Parameters: none; reads the registered Arrow table `proofs_arrow`.
-- Returns: nothing; makes the temporary table `proofs`. DuckDB knows the number of rows of its own tables, but not of
-- an Arrow table.
CREATE OR REPLACE TEMP TABLE proofs AS
SELECT * FROM proofs_arrow;
