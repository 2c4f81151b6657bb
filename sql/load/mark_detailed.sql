-- What: updates the times of details that a lookup returned again without a change.
-- Parameters: none; reads the temporary table `details`, with its bounds, runs after insert_detailed_versions.
-- Returns: nothing. Details of a state that is no longer the stored one are ignored.
UPDATE image_versions AS target
SET
    etl_described_at = coalesce(source.etl_described_at, target.etl_described_at),
    etl_aliases_at = coalesce(source.etl_aliases_at, target.etl_aliases_at),
    etl_aliases_known_at = coalesce(source.etl_aliases_at, target.etl_aliases_known_at)
FROM details AS source
WHERE
    target.account_id = source.account_id
    AND target.region = source.region
    AND target.image_name = source.image_name
    AND target.version = source.version
    AND target.creation_time = source.creation_time
    AND target.last_modified_time = source.last_modified_time
    AND target.etl_deleted_at IS NULL
    AND near(getvariable('details_bounds'), target.account_id, target.region, target.image_name, target.version)
    AND (
        coalesce(source.etl_described_at, target.etl_described_at) IS DISTINCT FROM target.etl_described_at
        OR coalesce(source.etl_aliases_at, target.etl_aliases_at) IS DISTINCT FROM target.etl_aliases_at
    );
