-- What: the versions that existed at AWS at an instant, in the state they were in, as far as is known today.
-- Parameters: ts, an instant.
-- Columns: those of image_version_history. Attributes are certain from etl_certain_from on; between the
-- creation and that instant the version existed, but may have been in another state.
CREATE OR REPLACE MACRO image_versions_as_of(ts) AS TABLE
SELECT *
FROM image_version_history
WHERE
    etl_valid_from <= ts::TIMESTAMPTZ
    AND (etl_valid_to IS NULL OR etl_valid_to > ts::TIMESTAMPTZ)
    AND etl_change <> 'deleted';
