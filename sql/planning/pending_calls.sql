-- What: how many stored versions have no details, or details from before an instant.
-- Parameters: $before_ms, UTC epoch milliseconds.
-- Returns: account_id, region, image_name, descriptions, aliases (how many of each call are due); one row per stream.
SELECT
    account_id,
    region,
    image_name,
    count(*) FILTER (etl_described_at IS NULL OR epoch_ms(etl_described_at) < $before_ms) AS descriptions,
    count(*) FILTER (etl_aliases_at IS NULL OR epoch_ms(etl_aliases_at) < $before_ms) AS aliases
FROM image_versions
WHERE etl_deleted_at IS NULL AND image_version_status NOT IN ('CREATING', 'DELETING')
GROUP BY account_id, region, image_name
HAVING descriptions > 0 OR aliases > 0;
