-- What: makes DuckDB show and parse instants in UTC, independent of the machine's time zone.
-- Parameters: none. Returns: nothing.
SET timezone = 'UTC';
