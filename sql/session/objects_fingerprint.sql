-- What: the fingerprint of the views and comments that this warehouse holds.
-- Parameters: none.
-- Returns: fingerprint, no row in a new warehouse.
SELECT fingerprint
FROM schema_objects;
