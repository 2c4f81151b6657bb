-- The id of this warehouse. What belongs to the warehouse but is elsewhere has the same id. A copy of the file keeps
-- it.

CREATE TABLE warehouse_identity AS
SELECT uuid()::VARCHAR AS warehouse_id, now() AS made_at;
