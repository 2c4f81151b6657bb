-- What: inserts the changed images, sorted by key.
-- Parameters: $run_id, $observed_at (UTC).
-- Returns: nothing; runs after delete_changed_images.
INSERT INTO images BY NAME
SELECT
    * EXCLUDE (stored_first_seen_at),
    coalesce(stored_first_seen_at, $observed_at::TIMESTAMPTZ) AS etl_first_seen_at,
    $observed_at::TIMESTAMPTZ AS etl_changed_at,
    $run_id AS etl_run_id
FROM changed_images
ORDER BY account_id, region, image_name;
