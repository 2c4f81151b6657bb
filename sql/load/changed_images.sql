-- What: the landed images that differ from what is stored.
-- Parameters: $images, the paths of the run's files of images.
-- Returns: nothing; makes the temporary table `changed_images`, one row an image.
CREATE OR REPLACE TEMP TABLE changed_images AS
SELECT
    source.*,
    CASE
        WHEN source.creation_time > target.creation_time THEN NULL
        ELSE target.etl_first_seen_at
    END AS stored_first_seen_at
FROM read_parquet($images) AS source
LEFT JOIN images AS target USING (account_id, region, image_name)
WHERE
    source.image_arn IS DISTINCT FROM target.image_arn
    OR source.display_name IS DISTINCT FROM target.display_name
    OR source.description IS DISTINCT FROM target.description
    OR source.image_status IS DISTINCT FROM target.image_status
    OR source.failure_reason IS DISTINCT FROM target.failure_reason
    OR source.creation_time IS DISTINCT FROM target.creation_time
    OR source.last_modified_time IS DISTINCT FROM target.last_modified_time
    OR source.etl_raw IS DISTINCT FROM target.etl_raw
    OR target.etl_deleted_at IS NOT NULL;
