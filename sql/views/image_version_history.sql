-- What: every state that a version was in, with the interval in which it held at AWS (SCD type 2).
-- Columns: those of image_version_events, and etl_valid_to: the next state's etl_valid_from, null while open.
-- A deletion is found after it happened: if the next life had begun by then, it ended no later than that began.
-- Partitioned by the composite key, so that a filter on an image reads that image only.
CREATE OR REPLACE VIEW image_version_history AS
SELECT
    *,
    lead(etl_valid_from) OVER (
        PARTITION BY account_id, region, image_name, version
        ORDER BY etl_observed_at
    ) AS etl_valid_to
FROM (
    SELECT * REPLACE (
        CASE
            WHEN etl_change = 'deleted'
                THEN least(etl_valid_from, lead(etl_valid_from) OVER (
                    PARTITION BY account_id, region, image_name, version
                    ORDER BY etl_observed_at
                ))
            ELSE etl_valid_from
        END AS etl_valid_from
    )
    FROM image_version_events
);
