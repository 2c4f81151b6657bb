-- What: the streams that were covered by other runs with a list of images that began after this run's first one.
-- Parameters: $run_id, whose own parts are left out; reads the registered Arrow table `scopes_arrow`.
-- Returns: nothing; makes the temporary table `read_since`, one row per run and stream: list_t0 and list_outcome of
-- the list of images, the outcome of the stream, and t0 and t1: the stream's T0 is not before t0 and not after t1. If
-- runs are loaded in the order in which they read, the table is empty, and no older coverage is read.
CREATE OR REPLACE TEMP TABLE read_since AS
WITH lists AS (
    SELECT etl_run_id, account_id, region, outcome, t0, t1, others, loaded_at
    FROM coverage
    WHERE image_name IS NULL AND etl_run_id <> $run_id AND t0 > (SELECT min(t0) FROM scopes_arrow)
),
own AS (
    SELECT
        list.etl_run_id,
        stream.account_id,
        stream.region,
        stream.image_name,
        list.others,
        list.outcome AS list_outcome,
        list.t0 AS list_t0,
        list.t1 AS list_t1,
        stream.etl_run_id = list.etl_run_id AS is_own_row,
        stream.outcome,
        stream.t0,
        stream.loaded_at
    FROM lists AS list
    JOIN coverage AS stream USING (account_id, region)
    WHERE stream.image_name IS NOT NULL AND stream.loaded_at <= list.loaded_at
)
SELECT
    etl_run_id,
    account_id,
    region,
    image_name,
    any_value(list_outcome) AS list_outcome,
    any_value(list_t0) AS list_t0,
    arg_max(outcome, loaded_at) AS outcome,
    CASE WHEN bool_or(is_own_row) THEN arg_max_null(t0, loaded_at) ELSE any_value(list_t0) END AS t0,
    CASE WHEN bool_or(is_own_row) THEN arg_max_null(t0, loaded_at) ELSE any_value(list_t1) END AS t1
FROM own
GROUP BY etl_run_id, account_id, region, image_name
HAVING
    (bool_or(is_own_row) AND arg_max(outcome, loaded_at) NOT IN ('rested', 'skipped'))
    OR (any_value(others) = 'complete' AND arg_max(outcome, loaded_at) = 'complete');
