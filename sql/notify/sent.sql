-- What: the record of the news that a receiver got.
-- Grain: one row per kind of news, and per trouble that was reported to the receiver.
-- Parameters: $receiver.
-- Returns: news, subject (empty in the row of a kind), told_up_to.
SELECT news, subject, told_up_to
FROM notified
WHERE receiver = $receiver;
