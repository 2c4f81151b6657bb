-- What: the ranges of version numbers that the run proved absent.
-- Parameters: none; reads the registered Arrow table `proofs_arrow`.
-- Returns: nothing; makes the temporary table `proofs`. Of a table DuckDB knows how few its rows are, of Arrow not.
CREATE OR REPLACE TEMP TABLE proofs AS
SELECT * FROM proofs_arrow;
