-- What: gives an empty warehouse the id that its landing carries already.
-- Parameters: $warehouse_id. Returns: nothing.
UPDATE warehouse_identity
SET warehouse_id = $warehouse_id;
