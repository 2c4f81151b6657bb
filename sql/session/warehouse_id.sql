-- What: the id of this warehouse.
-- Parameters: none.
-- Returns: warehouse_id, one row.
SELECT warehouse_id
FROM warehouse_identity;
