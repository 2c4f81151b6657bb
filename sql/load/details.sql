-- What: the details that a run read, one row per version and state, with the newest answer of each call.
-- Parameters: $details, the paths of the run's files of details, whose names sort in the order in which they were
-- written; reads the variable `details_bounds` and the registered Arrow table `scopes_arrow`. Details of other scopes
-- are not loaded now.
-- Returns: nothing; makes the temporary table `details`. The columns of a call and its time are null if the call was
-- not answered, or if the stored answer is newer: a run may be loaded after a run that looked the version up later.
-- A version is looked up twice if its alias was found on another version, or if a sync was killed between the two
-- calls.
CREATE OR REPLACE TEMP TABLE details AS
SELECT
    account_id,
    region,
    image_name,
    version,
    creation_time,
    last_modified_time,
    described.base_image,
    described.container_image,
    described.job_type,
    described.ml_framework,
    described.programming_lang,
    described.processor,
    described.horovod,
    described.vendor_guidance,
    described.release_notes,
    described.etl_details_raw,
    aliased.aliases,
    described.etl_described_at,
    aliased.etl_aliases_at
FROM (
    SELECT
        account_id,
        region,
        image_name,
        version,
        creation_time,
        last_modified_time,
        arg_max(source, filename) FILTER (
            source.etl_described_at >= coalesce(stored.etl_described_at, source.etl_described_at)
        ) AS described,
        arg_max(source, filename) FILTER (
            source.etl_aliases_at >= coalesce(stored.etl_aliases_at, source.etl_aliases_at)
        ) AS aliased
    FROM read_parquet($details, filename = TRUE) AS source
    SEMI JOIN scopes_arrow USING (account_id, region)
    LEFT JOIN stored_near(getvariable('details_bounds')) AS stored
        USING (account_id, region, image_name, version, creation_time, last_modified_time)
    GROUP BY account_id, region, image_name, version, creation_time, last_modified_time
);
