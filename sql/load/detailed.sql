-- What: the changed versions with their details, and the versions of which only details changed.
-- Parameters: $margin_ms (how far an answer's Date may be from the exact time, on both sides); reads the temporary
-- tables `changed` and `details`, the bounds of both, and the temporary view `landed`.
-- Returns: nothing; replaces the temporary table `changed` by one with the details, the times of the calls that
-- returned them, and the values for the events.
-- If a call was not made or not answered, its details stay as they are stored. They are pending (their time is null) if
-- the state is new. Details count only for the state for which they were read. AWS does not return the time of a
-- change of details alone, which is between the previous lookup and the one that found it. The latter plus the margin
-- is etl_valid_from, an upper bound; the former less the margin is etl_last_seen_at, a lower bound.
CREATE OR REPLACE TEMP TABLE changed AS
WITH stored AS (
    SELECT *
    FROM stored_near(getvariable('detailed_bounds'))
    SEMI JOIN (
        SELECT account_id, region, image_name, version
        FROM changed
        UNION
        SELECT account_id, region, image_name, version
        FROM details
    ) USING (account_id, region, image_name, version)
),
states AS (
    SELECT *, FALSE AS alone
    FROM changed
    UNION ALL BY NAME
    SELECT
        account_id,
        region,
        image_name,
        version,
        image_arn,
        image_version_arn,
        image_version_status,
        failure_reason,
        creation_time,
        last_modified_time,
        etl_raw,
        'modified' AS etl_change,
        [] AS etl_changed_columns,
        etl_valid_from,
        etl_first_seen_at AS stored_first_seen_at,
        etl_read_at,
        landed.version IS NOT NULL AS was_landed,
        TRUE AS alone
    FROM stored
    ANTI JOIN changed USING (account_id, region, image_name, version)
    SEMI JOIN details USING (account_id, region, image_name, version, creation_time, last_modified_time)
    LEFT JOIN (
        SELECT account_id, region, image_name, version
        FROM landed
        SEMI JOIN details USING (account_id, region, image_name, version)
    ) AS landed USING (account_id, region, image_name, version)
    WHERE etl_deleted_at IS NULL
),
detailed AS (
    SELECT
        source.*,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.base_image ELSE known.base_image END AS base_image,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.container_image ELSE known.container_image END AS container_image,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.job_type ELSE known.job_type END AS job_type,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.ml_framework ELSE known.ml_framework END AS ml_framework,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.programming_lang ELSE known.programming_lang END AS programming_lang,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.processor ELSE known.processor END AS processor,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.horovod ELSE known.horovod END AS horovod,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.vendor_guidance ELSE known.vendor_guidance END AS vendor_guidance,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.release_notes ELSE known.release_notes END AS release_notes,
        CASE WHEN detail.etl_described_at IS NOT NULL THEN detail.etl_details_raw ELSE known.etl_details_raw END AS etl_details_raw,
        CASE WHEN detail.etl_aliases_at IS NOT NULL THEN detail.aliases ELSE known.aliases END AS aliases,
        coalesce(detail.etl_described_at, CASE WHEN alone THEN known.etl_described_at END) AS etl_described_at,
        coalesce(detail.etl_aliases_at, CASE WHEN alone THEN known.etl_aliases_at END) AS etl_aliases_at,
        coalesce(detail.etl_aliases_at, known.etl_aliases_known_at) AS etl_aliases_known_at
    FROM states AS source
    LEFT JOIN details AS detail USING (account_id, region, image_name, version, creation_time, last_modified_time)
    LEFT JOIN stored AS known USING (account_id, region, image_name, version, creation_time)
),
compared AS (
    SELECT
        source.*,
        target.etl_described_at AS described_before,
        target.etl_aliases_known_at AS aliases_before,
        list_filter([
            CASE WHEN source.base_image IS DISTINCT FROM target.base_image THEN 'base_image' END,
            CASE WHEN source.container_image IS DISTINCT FROM target.container_image THEN 'container_image' END,
            CASE WHEN source.job_type IS DISTINCT FROM target.job_type THEN 'job_type' END,
            CASE WHEN source.ml_framework IS DISTINCT FROM target.ml_framework THEN 'ml_framework' END,
            CASE WHEN source.programming_lang IS DISTINCT FROM target.programming_lang THEN 'programming_lang' END,
            CASE WHEN source.processor IS DISTINCT FROM target.processor THEN 'processor' END,
            CASE WHEN source.horovod IS DISTINCT FROM target.horovod THEN 'horovod' END,
            CASE WHEN source.vendor_guidance IS DISTINCT FROM target.vendor_guidance THEN 'vendor_guidance' END,
            CASE WHEN source.release_notes IS DISTINCT FROM target.release_notes THEN 'release_notes' END,
            CASE WHEN source.aliases IS DISTINCT FROM target.aliases THEN 'aliases' END,
            CASE WHEN source.etl_details_raw IS DISTINCT FROM target.etl_details_raw THEN 'etl_details_raw' END
        ], lambda name: name IS NOT NULL) AS differing
    FROM detailed AS source
    LEFT JOIN stored AS target USING (account_id, region, image_name, version)
)
SELECT
    * EXCLUDE (alone, differing, described_before)
    REPLACE (
        list_sort(list_concat(etl_changed_columns, differing)) AS etl_changed_columns,
        CASE WHEN alone THEN greatest(etl_valid_from, found_by) ELSE etl_valid_from END AS etl_valid_from
    ),
    CASE
        WHEN alone THEN greatest(etl_valid_from, found_by)
        ELSE last_modified_time
    END AS etl_certain_from,
    CASE
        WHEN NOT alone THEN NULL
        WHEN differing = ['aliases'] THEN aliases_before
        WHEN NOT list_contains(differing, 'aliases') THEN described_before
        WHEN described_before IS NOT NULL AND aliases_before IS NOT NULL THEN least(described_before, aliases_before)
    END - to_milliseconds($margin_ms) AS etl_last_seen_at
FROM (
    SELECT
        *,
        CASE
            WHEN differing = ['aliases'] THEN etl_aliases_at
            WHEN list_contains(differing, 'aliases') THEN greatest(etl_described_at, etl_aliases_at)
            ELSE etl_described_at
        END + to_milliseconds($margin_ms) AS found_by
    FROM compared
)
WHERE NOT alone OR len(differing) > 0
ORDER BY account_id, region, image_name, version;
