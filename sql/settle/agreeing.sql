-- What: streams whose last reading has every number that the reading before it had.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name; one row a stream.
-- Only a reading that came to its end counts: `comparable` says that the one before did. Two empty ones agree.
SELECT account_id, region, image_name
FROM listed
ANTI JOIN (
    SELECT place
    FROM landed_numbers
    JOIN (FROM listed WHERE comparable) AS listed USING (place)
    GROUP BY place, version
    HAVING max(etl_reading) = any_value(listed.readings) - 1
) USING (place)
WHERE comparable AND NOT missing;
