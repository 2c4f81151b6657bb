-- What: the proof that a version number was never used, if there is one.
-- Parameters: $image, $version; $account_id, $region (null for all).
-- Returns: account_id, region, evidence, proved_at.
SELECT account_id, region, evidence, proved_at
FROM absent_versions
WHERE
    image_name = $image
    AND $version::INTEGER BETWEEN first_version AND last_version
    AND ($account_id::VARCHAR IS NULL OR account_id = $account_id::VARCHAR)
    AND ($region::VARCHAR IS NULL OR region = $region::VARCHAR)
ORDER BY account_id, region;
