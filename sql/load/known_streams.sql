-- What: what the warehouse knows of every stream; what the planner decides on.
-- Parameters: none.
-- Returns: the rows of streams that planning needs, instants as UTC epoch milliseconds.
SELECT
    account_id,
    region,
    image_name,
    live_versions,
    epoch_ms(watermark) AS watermark_ms,
    epoch_ms(last_full_at) AS last_full_at_ms,
    highest_version,
    first_version_seen
FROM streams;
