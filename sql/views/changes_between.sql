-- What: which of AWS's columns differ between two states of a version, each a row of image_version_events.
-- Parameters: before, after, two rows as structs.
-- Columns: none; returns a list of structs (name, before, after, all text) in the order of the columns.
CREATE OR REPLACE MACRO changes_between(before, after) AS list_filter(
    [
        struct_pack(
            name := 'image_arn',
            before := struct_extract(before, 'image_arn'),
            after := struct_extract(after, 'image_arn')
        ),
        struct_pack(
            name := 'image_version_arn',
            before := struct_extract(before, 'image_version_arn'),
            after := struct_extract(after, 'image_version_arn')
        ),
        struct_pack(
            name := 'image_version_status',
            before := struct_extract(before, 'image_version_status'),
            after := struct_extract(after, 'image_version_status')
        ),
        struct_pack(
            name := 'failure_reason',
            before := struct_extract(before, 'failure_reason'),
            after := struct_extract(after, 'failure_reason')
        ),
        struct_pack(
            name := 'creation_time',
            before := strftime(struct_extract(before, 'creation_time') AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'),
            after := strftime(struct_extract(after, 'creation_time') AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')
        ),
        struct_pack(
            name := 'last_modified_time',
            before := strftime(struct_extract(before, 'last_modified_time') AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ'),
            after := strftime(struct_extract(after, 'last_modified_time') AT TIME ZONE 'UTC', '%Y-%m-%dT%H:%M:%S.%gZ')
        ),
        struct_pack(
            name := 'etl_raw',
            before := struct_extract(before, 'etl_raw'),
            after := struct_extract(after, 'etl_raw')
        ),
        struct_pack(
            name := 'base_image',
            before := struct_extract(before, 'base_image'),
            after := struct_extract(after, 'base_image')
        ),
        struct_pack(
            name := 'container_image',
            before := struct_extract(before, 'container_image'),
            after := struct_extract(after, 'container_image')
        ),
        struct_pack(
            name := 'job_type',
            before := struct_extract(before, 'job_type'),
            after := struct_extract(after, 'job_type')
        ),
        struct_pack(
            name := 'ml_framework',
            before := struct_extract(before, 'ml_framework'),
            after := struct_extract(after, 'ml_framework')
        ),
        struct_pack(
            name := 'programming_lang',
            before := struct_extract(before, 'programming_lang'),
            after := struct_extract(after, 'programming_lang')
        ),
        struct_pack(
            name := 'processor',
            before := struct_extract(before, 'processor'),
            after := struct_extract(after, 'processor')
        ),
        struct_pack(
            name := 'horovod',
            before := struct_extract(before, 'horovod')::VARCHAR,
            after := struct_extract(after, 'horovod')::VARCHAR
        ),
        struct_pack(
            name := 'vendor_guidance',
            before := struct_extract(before, 'vendor_guidance'),
            after := struct_extract(after, 'vendor_guidance')
        ),
        struct_pack(
            name := 'release_notes',
            before := struct_extract(before, 'release_notes'),
            after := struct_extract(after, 'release_notes')
        ),
        struct_pack(
            name := 'aliases',
            before := CASE
                WHEN len(struct_extract(before, 'aliases')) = 0 THEN 'none'
                ELSE array_to_string(struct_extract(before, 'aliases'), ' ')
            END,
            after := CASE
                WHEN len(struct_extract(after, 'aliases')) = 0 THEN 'none'
                ELSE array_to_string(struct_extract(after, 'aliases'), ' ')
            END
        ),
        struct_pack(
            name := 'etl_details_raw',
            before := struct_extract(before, 'etl_details_raw'),
            after := struct_extract(after, 'etl_details_raw')
        )
    ],
    lambda one: one.before IS DISTINCT FROM one.after
);
