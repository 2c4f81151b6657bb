-- What: forgets which views and comments the warehouse holds, before they are made again.
-- Parameters: none. Returns: nothing.
DELETE FROM schema_objects;
