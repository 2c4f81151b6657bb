-- What: marks deleted versions in image_versions.
-- Parameters: $run_id, $observed_at (UTC).
-- Returns: nothing; reads the temporary table `deleted`, whose versions are within the bounds of `proofs`.
UPDATE image_versions AS target
SET
    etl_deleted_at = source.gone_since,
    etl_delete_evidence = source.evidence,
    etl_valid_from = source.gone_since,
    etl_changed_at = $observed_at::TIMESTAMPTZ,
    etl_run_id = $run_id,
    etl_read_at = source.etl_read_at
FROM deleted AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name
    AND target.version = source.version
    AND near(getvariable('proofs_bounds'), target.account_id, target.region, target.image_name, target.version);
