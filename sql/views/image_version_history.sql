-- What: every state that a version was in, with the interval in which it held at AWS (SCD type 2).
-- Columns: those of image_version_events, and etl_valid_to: the next state's etl_valid_from, null while open.
-- For some states only an upper bound of their beginning is known (a deletion, a reappearance, a change of details), or AWS
-- gave a time in the future: such a state begins and ends no later than a later state of the version begins.
-- Partitioned by the composite key, so that a filter on an image reads that image only.
CREATE OR REPLACE VIEW image_version_history AS
WITH begun AS (
    SELECT
        *,
        -- No event is valid from before the previous one, whose etl_valid_from may be an upper bound.
        CASE
            WHEN etl_change = 'modified' AND last_modified_time > lag(last_modified_time) OVER (
                PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at
            ) THEN greatest(creation_time, last_modified_time)
            ELSE etl_valid_from
        END AS began
    FROM image_version_events
)
SELECT
    * EXCLUDE (began)
    REPLACE (
        min(began) OVER from_here AS etl_valid_from,
        CASE
            WHEN etl_change = 'deleted' THEN min(began) OVER from_here
            ELSE etl_certain_from
        END AS etl_certain_from,
        CASE
            WHEN etl_last_seen_at IS NOT NULL THEN least(etl_last_seen_at, min(began) OVER from_here)
        END AS etl_last_seen_at
    ),
    min(began) OVER from_next AS etl_valid_to
FROM begun
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
