-- What: what the run was the first to meet.
-- Parameters: none; reads the temporary table `drifted`.
-- Returns: operation, member, value, occurrences; sorted.
SELECT operation, member, value, occurrences
FROM drifted
WHERE is_new
ORDER BY ALL;
