-- What: how many deletions the mass-delete breaker holds back, of the streams that the run planned to read.
-- Parameters: none; reads the temporary table `listed`, runs after insert_streams.
-- Returns: account_id, region, held_back; one row a scope that has any.
SELECT account_id, region, sum(streams.held_back)::BIGINT AS held_back
FROM streams
SEMI JOIN listed USING (account_id, region, image_name)
WHERE streams.held_back > 0
GROUP BY account_id, region;
