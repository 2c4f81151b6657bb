-- What: what a receiver of news was told.
-- Grain: one row per kind of news, and per trouble that it knows of.
-- Parameters: $receiver.
-- Returns: news, subject (empty in the row of a kind), told_up_to.
SELECT news, subject, told_up_to
FROM notified
WHERE receiver = $receiver;
