-- What: how many runs finished after one instant and up to another, and the first one of all.
-- Parameters: $since, $until.
-- Returns: runs, first_finished_at (null in a warehouse without a run).
SELECT
    count(*) FILTER (finished_at > $since::TIMESTAMPTZ AND finished_at <= $until::TIMESTAMPTZ) AS runs,
    min(finished_at) AS first_finished_at
FROM runs;
