-- What: removes the record of the news that a receiver got.
-- Parameters: $receiver.
-- Returns: nothing.
DELETE FROM notified
WHERE receiver = $receiver;
