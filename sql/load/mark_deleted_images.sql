-- What: marks images that are gone, unless their versions' deletion was held back.
-- Parameters: $run_id, $observed_at (UTC).
-- Returns: nothing; reads the temporary table `proofs`, runs after mark_deleted.
UPDATE images AS target
SET
    etl_deleted_at = source.proved_at,
    etl_delete_evidence = source.evidence,
    etl_changed_at = $observed_at::TIMESTAMPTZ,
    etl_run_id = $run_id
FROM (
    FROM proofs
    ANTI JOIN (
        FROM image_versions
        SEMI JOIN proofs USING (account_id, region, image_name)
        WHERE etl_deleted_at IS NULL
    ) USING (account_id, region, image_name)
    WHERE evidence = 'image_not_found'
) AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name
    AND target.etl_deleted_at IS NULL;
