-- What: what the warehouse knows about every stream, as the basis of planning.
-- Parameters: none.
-- Returns: the columns of streams that planning needs, instants as UTC epoch milliseconds, and image_live:
-- whether the image is stored and not marked deleted.
SELECT
    streams.account_id,
    streams.region,
    streams.image_name,
    streams.live_versions,
    epoch_ms(streams.watermark) AS watermark_ms,
    epoch_ms(streams.last_full_at) AS last_full_at_ms,
    streams.highest_version,
    streams.first_version_seen,
    epoch_ms(streams.image_created_at) AS image_created_ms,
    coalesce(streams.held_back, 0) AS held_back,
    images.image_name IS NOT NULL AND images.etl_deleted_at IS NULL AS image_live
FROM streams
LEFT JOIN images USING (account_id, region, image_name);
