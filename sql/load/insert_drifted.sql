-- What: writes what the run met that is not known here.
-- Parameters: none; reads the temporary table `drifted`.
-- Returns: nothing; runs after delete_drifted.
INSERT INTO schema_drift BY NAME
SELECT * EXCLUDE (is_new)
FROM drifted;
