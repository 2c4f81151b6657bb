-- What: every state that a version was in, with the interval in which it held at AWS (SCD type 2).
-- Columns: those of image_version_events, and etl_valid_to: the next state's etl_valid_from, null while open.
-- Partitioned by the composite key, so that a filter on an image reads that image only.
CREATE OR REPLACE VIEW image_version_history AS
SELECT
    *,
    lead(etl_valid_from) OVER (
        PARTITION BY account_id, region, image_name, version
        ORDER BY etl_observed_at
    ) AS etl_valid_to
FROM image_version_events;
