-- What: streams whose last two readings have the same key set.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name; one row a stream.
-- Only a reading that came to its end counts: `comparable` says that the one before did.
SELECT account_id, region, image_name
FROM (
    SELECT
        account_id,
        region,
        image_name,
        version,
        bool_or(etl_reading = listed.readings) AS in_this,
        bool_or(etl_reading = listed.readings - 1) AS in_the_one_before
    FROM landed_numbers
    JOIN listed USING (account_id, region, image_name)
    WHERE listed.comparable
    GROUP BY ALL
)
GROUP BY ALL
HAVING bool_and(in_this = in_the_one_before);
