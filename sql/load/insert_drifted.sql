-- What: inserts the rows of schema_drift for the unknown values and members that the run found.
-- Parameters: none; reads the temporary table `drifted`.
-- Returns: nothing; runs after delete_drifted.
INSERT INTO schema_drift BY NAME
SELECT * EXCLUDE (is_new)
FROM drifted;
