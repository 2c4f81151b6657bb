-- What: instants are shown and parsed in UTC, whatever the machine's time zone.
-- Parameters: none. Returns: nothing.
SET timezone = 'UTC';
