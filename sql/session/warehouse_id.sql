-- What: which warehouse this file is.
-- Parameters: none.
-- Returns: warehouse_id, one row.
SELECT warehouse_id
FROM warehouse_identity;
