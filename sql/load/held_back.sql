-- What: the streams with deletions that the mass-delete breaker holds back, and how many.
-- Parameters: none; runs after insert_streams.
-- Returns: account_id, region, image_name, held_back; one row per such stream.
SELECT account_id, region, image_name, held_back
FROM streams
WHERE held_back > 0;
