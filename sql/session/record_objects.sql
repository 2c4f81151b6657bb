-- What: records which views and comments the warehouse holds.
-- Parameters: $fingerprint. Returns: nothing.
INSERT INTO schema_objects
VALUES ($fingerprint, now());
