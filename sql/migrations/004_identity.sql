-- Which warehouse this file is: what lies elsewhere and belongs to it carries the same id. A copy keeps it.

CREATE TABLE warehouse_identity AS
SELECT uuid()::VARCHAR AS warehouse_id, now() AS made_at;
