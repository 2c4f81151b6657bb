-- What: a change of a version in words, as in: CREATING -> CREATED. Instants in the text are UTC.
-- Parameters: change, a value of etl_change, or transient; before, after, two rows of image_version_events as
-- structs; before is null if there was no row.
-- Columns: none; returns a text.
CREATE OR REPLACE MACRO described_change(change, before, after) AS CASE change
    WHEN 'created' THEN concat(
        'created',
        ', ' || nullif(struct_extract(after, 'image_version_status'), 'CREATED'),
        ': ' || struct_extract(after, 'failure_reason')
    )
    WHEN 'recreated' THEN concat(
        'created anew under a number that was used before',
        ', ' || nullif(struct_extract(after, 'image_version_status'), 'CREATED'),
        ': ' || struct_extract(after, 'failure_reason')
    )
    WHEN 'reappeared' THEN concat(
        'listed again, though it had been marked deleted',
        ', ' || nullif(struct_extract(after, 'image_version_status'), 'CREATED'),
        ': ' || struct_extract(after, 'failure_reason')
    )
    WHEN 'deleted' THEN concat(
        'deleted ',
        'between ' || strftime(
            CASE
                WHEN struct_extract(after, 'etl_last_seen_at') < struct_extract(after, 'etl_valid_from')
                    THEN struct_extract(after, 'etl_last_seen_at') AT TIME ZONE 'UTC'
            END,
            '%Y-%m-%d %H:%M:%S and '
        ),
        CASE
            WHEN struct_extract(after, 'etl_last_seen_at') < struct_extract(after, 'etl_valid_from') THEN ''
            ELSE 'by '
        END,
        strftime(struct_extract(after, 'etl_valid_from') AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S'),
        ', proved: ' || CASE struct_extract(after, 'etl_delete_evidence')
            WHEN 'describe_not_found' THEN 'DescribeImageVersion does not find it'
            WHEN 'image_not_found' THEN 'the whole image is gone'
            WHEN 'image_recreated' THEN 'it is older than its image, which was recreated'
            WHEN 'absent_twice' THEN 'two complete listings lack it'
            ELSE struct_extract(after, 'etl_delete_evidence')
        END
    )
    WHEN 'transient' THEN CASE
        WHEN struct_extract(after, 'etl_change') = 'deleted' THEN 'came and went again'
        ELSE 'changed, and changed back'
    END
    ELSE concat_ws(
        '; ',
        CASE
            WHEN struct_extract(before, 'image_version_status') <> struct_extract(after, 'image_version_status')
                THEN concat(
                    struct_extract(before, 'image_version_status'),
                    ' -> ',
                    struct_extract(after, 'image_version_status'),
                    ': ' || struct_extract(after, 'failure_reason')
                )
            WHEN list_transform(changes_between(before, after), lambda one: one.name) = ['last_modified_time']
                THEN concat(
                    'touched: last_modified_time ',
                    strftime(struct_extract(before, 'last_modified_time') AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S'),
                    ' -> ',
                    strftime(struct_extract(after, 'last_modified_time') AT TIME ZONE 'UTC', '%Y-%m-%d %H:%M:%S')
                )
        END,
        nullif(
            array_to_string(
                list_transform(
                    list_filter(
                        changes_between(before, after),
                        lambda one: one.name NOT IN ('image_version_status', 'last_modified_time')
                        AND (
                            one.name <> 'failure_reason'
                            OR struct_extract(before, 'image_version_status')
                            = struct_extract(after, 'image_version_status')
                        )
                    ),
                    lambda one: concat(
                        one.name, ': ', coalesce(one.before, 'nothing'), ' -> ', coalesce(one.after, 'nothing')
                    )
                ),
                '; '
            ),
            ''
        )
    )
END;
