-- What: the events of one region that were learned after an instant, in the order of their key.
-- Parameters: $region; $as_of_ms, UTC epoch milliseconds.
-- Returns: the columns of image_version_events except the region.
SELECT * EXCLUDE (region)
FROM image_version_events
WHERE region = $region AND etl_observed_at > TIMESTAMPTZ '1970-01-01 00:00:00Z' + to_milliseconds($as_of_ms)
ORDER BY account_id, image_name, version, etl_observed_at;
