-- What: stored versions that differ from their newest event.
-- Parameters: none. Reads every event, so a load does not run it; the tests do, after each sync.
-- Returns: account_id, region, image_name, version; no row when healthy.
SELECT target.account_id, target.region, target.image_name, target.version
FROM image_versions AS target
LEFT JOIN (
    FROM image_version_events
    QUALIFY row_number() OVER (
        PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at DESC
    ) = 1
) AS event USING (account_id, region, image_name, version)
WHERE
    event.version IS NULL
    OR event.last_modified_time IS DISTINCT FROM target.last_modified_time
    OR event.image_version_status IS DISTINCT FROM target.image_version_status
    OR event.creation_time IS DISTINCT FROM target.creation_time
    OR event.base_image IS DISTINCT FROM target.base_image
    OR event.container_image IS DISTINCT FROM target.container_image
    OR event.job_type IS DISTINCT FROM target.job_type
    OR event.ml_framework IS DISTINCT FROM target.ml_framework
    OR event.programming_lang IS DISTINCT FROM target.programming_lang
    OR event.processor IS DISTINCT FROM target.processor
    OR event.horovod IS DISTINCT FROM target.horovod
    OR event.vendor_guidance IS DISTINCT FROM target.vendor_guidance
    OR event.release_notes IS DISTINCT FROM target.release_notes
    OR event.aliases IS DISTINCT FROM target.aliases
    OR event.etl_details_raw IS DISTINCT FROM target.etl_details_raw;
