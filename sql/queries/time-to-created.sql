-- What: how long versions took from their creation to the status CREATED, by image, the slowest first.
-- For a version that was already CREATED when first seen, the time is an upper bound; `watched` counts the others.
-- Parameters: none.
-- Columns: account_id, region, image_name, versions, watched, median_seconds, p90_seconds, longest_seconds,
-- longest_version.
WITH incarnations AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        min(epoch_ms(last_modified_time) - epoch_ms(creation_time)) FILTER (
            image_version_status = 'CREATED'
        ) / 1000 AS seconds,
        bool_or(image_version_status = 'CREATING') AS watched
    FROM image_version_events
    GROUP BY account_id, region, image_name, version, creation_time
)
SELECT
    account_id,
    region,
    image_name,
    count(*) AS versions,
    count(*) FILTER (watched) AS watched,
    median(seconds) AS median_seconds,
    quantile_cont(seconds, 0.9) AS p90_seconds,
    max(seconds) AS longest_seconds,
    arg_max(version, seconds) AS longest_version
FROM incarnations
WHERE seconds IS NOT NULL
GROUP BY account_id, region, image_name
ORDER BY median_seconds DESC, account_id, region, image_name;
