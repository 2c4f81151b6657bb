-- What: forgets what a receiver of news was told.
-- Parameters: $receiver.
-- Returns: nothing.
DELETE FROM notified
WHERE receiver = $receiver;
