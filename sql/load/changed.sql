-- What: the landed versions that differ from the stored ones, with the kind of change and the columns that differ.
-- Parameters: none; reads the temporary view `landed`, its bounds, and the temporary tables `listed` and `outrun`.
-- Returns: nothing; makes the temporary table `changed`, one row per version, sorted by key, so that the rows that
-- are inserted from it keep zone maps narrow.
-- A state is valid from its LastModifiedTime, but not from before the start of the previous state. A version that
-- reappears is valid from the instant of its deletion, which is undone. A new incarnation is valid from its creation.
-- A landed row is ignored if it belongs to an older incarnation, if an incremental listing shows an older state, if
-- it was read before the stored row, or if another run has an accepted listing that began after it was read. All
-- these times are AWS's, so the order in which runs are loaded does not matter.
CREATE OR REPLACE TEMP TABLE changed AS
SELECT
    source.*,
    CASE
        WHEN target.version IS NULL THEN 'created'
        WHEN source.creation_time > target.creation_time THEN 'recreated'
        WHEN target.etl_deleted_at IS NOT NULL THEN 'reappeared'
        ELSE 'modified'
    END AS etl_change,
    CASE WHEN target.version IS NULL THEN [] ELSE list_sort(list_filter([
        CASE WHEN source.image_arn IS DISTINCT FROM target.image_arn THEN 'image_arn' END,
        CASE WHEN source.image_version_arn IS DISTINCT FROM target.image_version_arn THEN 'image_version_arn' END,
        CASE WHEN source.image_version_status IS DISTINCT FROM target.image_version_status THEN 'image_version_status' END,
        CASE WHEN source.failure_reason IS DISTINCT FROM target.failure_reason THEN 'failure_reason' END,
        CASE WHEN source.creation_time IS DISTINCT FROM target.creation_time THEN 'creation_time' END,
        CASE WHEN source.last_modified_time IS DISTINCT FROM target.last_modified_time THEN 'last_modified_time' END,
        CASE WHEN source.etl_raw IS DISTINCT FROM target.etl_raw THEN 'etl_raw' END
    ], lambda name: name IS NOT NULL)) END AS etl_changed_columns,
    CASE
        WHEN target.version IS NULL THEN source.creation_time
        WHEN source.creation_time > target.creation_time THEN source.creation_time
        WHEN target.etl_deleted_at IS NOT NULL THEN target.etl_valid_from
        ELSE greatest(source.last_modified_time, target.etl_valid_from)
    END AS etl_valid_from,
    target.etl_first_seen_at AS stored_first_seen_at,
    TRUE AS was_landed
FROM landed AS source
LEFT JOIN stored_near(getvariable('landed_bounds')) AS target USING (account_id, region, image_name, version)
LEFT JOIN listed USING (account_id, region, image_name)
LEFT JOIN outrun USING (account_id, region, image_name)
WHERE
    (outrun.accepted_t0 IS NULL OR source.etl_read_at >= outrun.accepted_t0)
    AND (
        target.version IS NULL
        OR source.creation_time > target.creation_time
        OR (
            source.creation_time = target.creation_time
            AND (target.etl_read_at IS NULL OR source.etl_read_at >= target.etl_read_at)
            AND (
                target.etl_deleted_at IS NOT NULL
                OR source.image_arn IS DISTINCT FROM target.image_arn
                OR source.image_version_arn IS DISTINCT FROM target.image_version_arn
                OR source.image_version_status IS DISTINCT FROM target.image_version_status
                OR source.failure_reason IS DISTINCT FROM target.failure_reason
                OR source.last_modified_time IS DISTINCT FROM target.last_modified_time
                OR source.etl_raw IS DISTINCT FROM target.etl_raw
            )
            AND (source.last_modified_time >= target.last_modified_time OR listed.listing = 'full')
        )
    )
ORDER BY source.account_id, source.region, source.image_name, source.version;
