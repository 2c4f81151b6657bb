-- What: the versions that existed at AWS at an instant, in the state they were in, as far as is known today.
-- Parameters: ts, an instant.
-- Columns: those of image_version_history. Attributes are certain from etl_certain_from on; between the
-- creation and that instant the version existed, but may have been in another state. This does not hold for details:
-- AWS returned them at etl_described_at, and aliases at etl_aliases_at, and may have had others at any other time. If
-- the time is null, they were not read for this state, and are null or those of an earlier one.
CREATE OR REPLACE MACRO image_versions_as_of(ts) AS TABLE
SELECT *
FROM image_version_history
WHERE
    etl_valid_from <= ts::TIMESTAMPTZ
    AND (etl_valid_to IS NULL OR etl_valid_to > ts::TIMESTAMPTZ)
    AND etl_change <> 'deleted';
