-- What: records the news that a receiver got.
-- Parameters: none; reads the Arrow table `sent`.
-- Returns: nothing; runs after forget.
INSERT INTO notified BY NAME
SELECT *
FROM sent;
