-- What: the versions that this warehouse knew to exist at an instant, in the state it knew.
-- Parameters: ts, an instant; nothing loaded later changes the answer.
-- Columns: those of image_version_events.
CREATE OR REPLACE MACRO image_versions_known_at(ts) AS TABLE
SELECT *
FROM (
    FROM image_version_events
    WHERE etl_observed_at <= ts::TIMESTAMPTZ
    QUALIFY row_number() OVER (
        PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at DESC
    ) = 1
)
WHERE etl_change <> 'deleted';
