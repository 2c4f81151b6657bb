-- What: the landed images that differ from the stored ones.
-- Parameters: $images, the paths of the run's files of images; reads the registered Arrow table `scopes_arrow` and
-- the temporary table `read_since`.
-- Returns: nothing; makes the temporary table `changed_images`, one row per image of the scopes that are loaded.
-- A landed image is ignored if it belongs to an earlier life, or if a run with a newer complete list of images
-- covered the image. A newer run that was limited to other images says nothing about this one.
CREATE OR REPLACE TEMP TABLE changed_images AS
SELECT
    source.*,
    CASE
        WHEN source.creation_time > target.creation_time THEN NULL
        ELSE target.etl_first_seen_at
    END AS stored_first_seen_at
FROM read_parquet($images) AS source
SEMI JOIN scopes_arrow USING (account_id, region)
LEFT JOIN images AS target USING (account_id, region, image_name)
ANTI JOIN (
    SELECT account_id, region, image_name
    FROM read_since
    JOIN (SELECT account_id, region, t0 AS own_t0 FROM scopes_arrow) AS scopes USING (account_id, region)
    WHERE list_outcome = 'complete' AND list_t0 > own_t0
) AS newer USING (account_id, region, image_name)
WHERE
    (target.creation_time IS NULL OR source.creation_time >= target.creation_time)
    AND (
        source.image_arn IS DISTINCT FROM target.image_arn
        OR source.display_name IS DISTINCT FROM target.display_name
        OR source.description IS DISTINCT FROM target.description
        OR source.image_status IS DISTINCT FROM target.image_status
        OR source.failure_reason IS DISTINCT FROM target.failure_reason
        OR source.creation_time IS DISTINCT FROM target.creation_time
        OR source.last_modified_time IS DISTINCT FROM target.last_modified_time
        OR source.etl_raw IS DISTINCT FROM target.etl_raw
        OR target.etl_deleted_at IS NOT NULL
    );
