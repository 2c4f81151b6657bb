-- What: states of versions whose instants are not in order. In the history, no state ends before it begins, begins before
-- its version was created, or begins before the previous state was last seen; the events of an incarnation are in order.
-- Parameters: none. Reads every event, so a load does not run it; the tests do, after each sync.
-- Returns: account_id, region, image_name, version; no row when healthy.
SELECT account_id, region, image_name, version
FROM image_version_history
WHERE
    etl_valid_to < etl_valid_from
    OR etl_valid_from < creation_time
    OR etl_last_seen_at > etl_valid_from
UNION
SELECT account_id, region, image_name, version
FROM image_version_events
QUALIFY
    etl_last_seen_at > etl_valid_from
    OR etl_valid_from < creation_time
    OR etl_valid_from < lag(etl_valid_from) OVER (
        PARTITION BY account_id, region, image_name, version, creation_time ORDER BY etl_observed_at
    );
