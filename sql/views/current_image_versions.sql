-- What: every version that is not known to be deleted, in its newest known state.
-- Columns: those of image_versions except those about the deletion.
CREATE OR REPLACE VIEW current_image_versions AS
SELECT * EXCLUDE (etl_deleted_at, etl_delete_evidence)
FROM image_versions
WHERE etl_deleted_at IS NULL;
