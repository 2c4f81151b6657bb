-- What: gives an empty warehouse the id of its landing.
-- Parameters: $warehouse_id. Returns: nothing.
UPDATE warehouse_identity
SET warehouse_id = $warehouse_id;
