-- What: the streams whose last reading has every number of the reading before it.
-- Parameters: none; reads the temporary tables `listed` (streams to be settled) and `landed_numbers`.
-- Returns: account_id, region, image_name; one row per stream.
-- The earlier reading must have come to its end: `comparable` says so. Two empty readings agree.
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
