-- What: which of AWS's columns differ between two states of a version, each a row of image_version_events.
-- Parameters: before, after, two rows as structs.
-- Columns: none; it is a list of structs: name, before, after, all text, in the order of the columns.
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
        )
    ],
    lambda one: one.before IS DISTINCT FROM one.after
);
