-- What: streams whose last reading has every number that the reading before it had.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name; one row a stream.
-- Only a reading that came to its end counts: `comparable` says that the one before did. Two empty ones agree.
SELECT account_id, region, image_name
FROM listed
ANTI JOIN (
    SELECT account_id, region, image_name
    FROM landed_numbers
    JOIN (FROM listed WHERE comparable) AS listed USING (account_id, region, image_name)
    GROUP BY account_id, region, image_name, version
    HAVING max(etl_reading) < any_value(listed.readings)
) USING (account_id, region, image_name)
WHERE comparable;
