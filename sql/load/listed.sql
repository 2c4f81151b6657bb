-- What: how far the run has read each stream, by its checkpoints, and when the present life of the image began.
-- Parameters: $images, the paths of the run's files of images; reads the registered Arrow table `listed_arrow`.
-- Returns: nothing; makes the temporary table `listed`, one row per stream. `place` is a number that stands for the
-- key of the stream; image_created_at is the newest CreationTime that was ever listed. Runs before the run's images
-- are written. Versions created before life_began_at belong to an earlier life of the image. life_began_at is null if
-- AWS lists a version that is older than its image, because a version that AWS lists is alive.
CREATE OR REPLACE TEMP TABLE listed AS
SELECT
    source.*,
    (row_number() OVER ())::INTEGER AS place,
    greatest(landed.creation_time, stored.creation_time) AS image_created_at,
    CASE
        WHEN source.listing = 'incremental' AND streams.image_created_at = greatest(landed.creation_time, stored.creation_time)
            THEN streams.life_began_at
        WHEN source.oldest_at >= greatest(landed.creation_time, stored.creation_time) OR source.oldest_at IS NULL
            THEN greatest(landed.creation_time, stored.creation_time)
    END AS life_began_at
FROM listed_arrow AS source
LEFT JOIN (
    SELECT account_id, region, image_name, creation_time
    FROM read_parquet($images)
) AS landed USING (account_id, region, image_name)
LEFT JOIN images AS stored USING (account_id, region, image_name)
LEFT JOIN streams USING (account_id, region, image_name);
