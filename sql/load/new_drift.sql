-- What: the unknown values and members that no earlier run has counted.
-- Parameters: none; reads the temporary table `drifted`.
-- Returns: operation, member, value, occurrences; sorted.
SELECT operation, member, value, occurrences
FROM drifted
WHERE is_new
ORDER BY ALL;
