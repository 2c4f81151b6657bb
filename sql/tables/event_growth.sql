-- What: how many events of each region were learned up to an instant, and how many after it.
-- Parameters: $as_of_ms, UTC epoch milliseconds.
-- Returns: region, before, after; sorted by region.
SELECT
    region,
    count(*) FILTER (WHERE etl_observed_at <= TIMESTAMPTZ '1970-01-01 00:00:00Z' + to_milliseconds($as_of_ms)) AS before,
    count(*) FILTER (WHERE etl_observed_at > TIMESTAMPTZ '1970-01-01 00:00:00Z' + to_milliseconds($as_of_ms)) AS after
FROM image_version_events
GROUP BY region
ORDER BY region;
