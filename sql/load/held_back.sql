-- What: the streams of which the mass-delete breaker holds back deletions, and how many.
-- Parameters: none; runs after insert_streams.
-- Returns: account_id, region, image_name, held_back; one row a stream that has any.
SELECT account_id, region, image_name, held_back
FROM streams
WHERE held_back > 0;
