-- What: every state that each version of an image was in, for Warehouse.history.
-- Parameters: $image (its name), $account_id and $region (null: in all of them).
-- Returns: the columns of image_version_history, by key and time.
FROM image_version_history
WHERE
    image_name = $image
    AND account_id = coalesce($account_id, account_id)
    AND region = coalesce($region, region)
ORDER BY account_id, region, version, etl_valid_from, etl_observed_at;
