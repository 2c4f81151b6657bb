-- What: every state that a version was in, with the interval in which it held at AWS (SCD type 2).
-- Columns: those of image_version_events, and etl_valid_to: the next state's etl_valid_from, null while open.
-- For some states only an upper bound of their beginning is known (a deletion, a reappearance, a change of details), or AWS
-- gave a time in the future: such a state begins and ends no later than a later state of the version begins.
-- Partitioned by the composite key, so that a filter on an image reads that image only.
CREATE OR REPLACE VIEW image_version_history AS
SELECT
    * REPLACE (
        min(etl_valid_from) OVER from_here AS etl_valid_from,
        CASE
            WHEN etl_change = 'deleted' THEN min(etl_valid_from) OVER from_here
            ELSE etl_certain_from
        END AS etl_certain_from,
        CASE
            WHEN etl_last_seen_at IS NOT NULL THEN least(etl_last_seen_at, min(etl_valid_from) OVER from_here)
        END AS etl_last_seen_at
    ),
    min(etl_valid_from) OVER from_next AS etl_valid_to
FROM image_version_events
WINDOW
    from_here AS (
        PARTITION BY account_id, region, image_name, version
        ORDER BY etl_observed_at
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ),
    from_next AS (
        PARTITION BY account_id, region, image_name, version
        ORDER BY etl_observed_at
        ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING
    );
