-- What: whether details are stored for a version that changed: its new state must keep them.
-- Parameters: none; reads the temporary table `changed`, with its bounds.
-- Returns: has_details, one row.
SELECT count(*) > 0 AS has_details
FROM stored_near(getvariable('changed_bounds'))
SEMI JOIN (FROM changed WHERE etl_change <> 'created') USING (account_id, region, image_name, version)
WHERE
    base_image IS NOT NULL
    OR container_image IS NOT NULL
    OR job_type IS NOT NULL
    OR ml_framework IS NOT NULL
    OR programming_lang IS NOT NULL
    OR processor IS NOT NULL
    OR horovod IS NOT NULL
    OR vendor_guidance IS NOT NULL
    OR release_notes IS NOT NULL
    OR aliases IS NOT NULL
    OR etl_details_raw IS NOT NULL;
