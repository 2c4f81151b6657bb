-- What: records the news that a receiver got.
-- Parameters: none; reads the Arrow table `told`.
-- Returns: nothing; runs after forget.
INSERT INTO notified BY NAME
SELECT *
FROM told;
