-- What: marks the images that AWS does not know any more as deleted. An image is left as it is if it has a live
-- version, if it was created again, or if a listing of it was accepted after the proof.
-- Parameters: $run_id, $observed_at (UTC).
-- Returns: nothing; reads the temporary tables `proofs`, with its bounds, and `outrun`, runs after mark_deleted.
UPDATE images AS target
SET
    etl_deleted_at = source.proved_at,
    etl_delete_evidence = source.evidence,
    etl_changed_at = $observed_at::TIMESTAMPTZ,
    etl_run_id = $run_id
FROM (
    FROM proofs
    ANTI JOIN (
        FROM stored_near(getvariable('proofs_bounds'))
        SEMI JOIN proofs USING (account_id, region, image_name)
        WHERE etl_deleted_at IS NULL
    ) USING (account_id, region, image_name)
    LEFT JOIN outrun USING (account_id, region, image_name)
    WHERE evidence = 'image_not_found' AND (accepted_until IS NULL OR accepted_until <= proofs.t0)
) AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name
    AND target.creation_time <= source.created_until
    AND target.etl_deleted_at IS NULL;
