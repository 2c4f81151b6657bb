-- Columns that say to which states and lives a proof applies: when a state was read, and in which life of an image a
-- number was absent. Also when ListAliases returned the aliases, and when it had returned the previous ones.

ALTER TABLE image_versions ADD COLUMN etl_read_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE image_versions ADD COLUMN etl_aliases_known_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE image_version_events ADD COLUMN etl_aliases_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE image_version_events ADD COLUMN etl_aliases_before TIMESTAMP WITH TIME ZONE;
ALTER TABLE streams ADD COLUMN image_created_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE streams ADD COLUMN life_began_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE streams ADD COLUMN unexplained BIGINT;
ALTER TABLE streams ADD COLUMN held_back BIGINT;
ALTER TABLE absent_versions ADD COLUMN image_created_at TIMESTAMP WITH TIME ZONE;

-- The run that wrote a row had listed its stream: the T0 of this listing is in coverage.
UPDATE image_versions
SET etl_read_at = coverage.t0
FROM coverage
WHERE
    coverage.etl_run_id = image_versions.etl_run_id
    AND coverage.account_id = image_versions.account_id
    AND coverage.region = image_versions.region
    AND coverage.image_name = image_versions.image_name;

UPDATE image_versions
SET etl_aliases_known_at = etl_aliases_at
WHERE etl_aliases_at IS NOT NULL;

UPDATE streams
SET image_created_at = images.creation_time
FROM images
WHERE
    images.account_id = streams.account_id
    AND images.region = streams.region
    AND images.image_name = streams.image_name
    AND images.creation_time <= streams.last_full_at;

UPDATE streams
SET life_began_at = image_created_at
WHERE NOT EXISTS (
    FROM image_versions AS older
    WHERE
        older.account_id = streams.account_id
        AND older.region = streams.region
        AND older.image_name = streams.image_name
        AND older.etl_deleted_at IS NULL
        AND older.creation_time < streams.image_created_at
);

UPDATE absent_versions
SET image_created_at = images.creation_time
FROM images
WHERE
    images.account_id = absent_versions.account_id
    AND images.region = absent_versions.region
    AND images.image_name = absent_versions.image_name
    AND images.creation_time <= absent_versions.proved_at;
