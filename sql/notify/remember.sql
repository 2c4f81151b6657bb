-- What: remembers what a receiver of news was told.
-- Parameters: none; reads the Arrow table `told`.
-- Returns: nothing; runs after forget.
INSERT INTO notified BY NAME
SELECT *
FROM told;
