-- What: how many versions were created, failed, changed and deleted each week, by the time at AWS.
-- Parameters: $scope, $image (globs), $begin (the first instant that counts).
-- Returns: week (a Monday), created, failed, changed, deleted.
SELECT
    date_trunc('week', etl_valid_from AT TIME ZONE 'UTC')::DATE AS week,
    count(*) FILTER (
        etl_change IN ('created', 'recreated') AND image_version_status NOT IN ('CREATE_FAILED', 'DELETE_FAILED')
    ) AS created,
    count(*) FILTER (
        etl_change <> 'deleted' AND image_version_status IN ('CREATE_FAILED', 'DELETE_FAILED')
    ) AS failed,
    count(*) FILTER (
        etl_change IN ('modified', 'reappeared') AND image_version_status NOT IN ('CREATE_FAILED', 'DELETE_FAILED')
    ) AS changed,
    count(*) FILTER (etl_change = 'deleted') AS deleted
FROM image_version_events
WHERE
    etl_valid_from >= $begin::TIMESTAMPTZ
    AND concat(account_id, '/', region) GLOB $scope
    AND image_name GLOB $image
GROUP BY ALL
ORDER BY week;
