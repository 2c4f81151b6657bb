-- What DescribeImageVersion and ListAliases return about versions, when they did, and how many calls were made.

ALTER TABLE image_versions ADD COLUMN base_image VARCHAR;
ALTER TABLE image_versions ADD COLUMN container_image VARCHAR;
ALTER TABLE image_versions ADD COLUMN job_type VARCHAR;
ALTER TABLE image_versions ADD COLUMN ml_framework VARCHAR;
ALTER TABLE image_versions ADD COLUMN programming_lang VARCHAR;
ALTER TABLE image_versions ADD COLUMN processor VARCHAR;
ALTER TABLE image_versions ADD COLUMN horovod BOOLEAN;
ALTER TABLE image_versions ADD COLUMN vendor_guidance VARCHAR;
ALTER TABLE image_versions ADD COLUMN release_notes VARCHAR;
ALTER TABLE image_versions ADD COLUMN aliases VARCHAR[];
ALTER TABLE image_versions ADD COLUMN etl_details_raw VARCHAR;
ALTER TABLE image_versions ADD COLUMN etl_described_at TIMESTAMP WITH TIME ZONE;
ALTER TABLE image_versions ADD COLUMN etl_aliases_at TIMESTAMP WITH TIME ZONE;

ALTER TABLE image_version_events ADD COLUMN base_image VARCHAR;
ALTER TABLE image_version_events ADD COLUMN container_image VARCHAR;
ALTER TABLE image_version_events ADD COLUMN job_type VARCHAR;
ALTER TABLE image_version_events ADD COLUMN ml_framework VARCHAR;
ALTER TABLE image_version_events ADD COLUMN programming_lang VARCHAR;
ALTER TABLE image_version_events ADD COLUMN processor VARCHAR;
ALTER TABLE image_version_events ADD COLUMN horovod BOOLEAN;
ALTER TABLE image_version_events ADD COLUMN vendor_guidance VARCHAR;
ALTER TABLE image_version_events ADD COLUMN release_notes VARCHAR;
ALTER TABLE image_version_events ADD COLUMN aliases VARCHAR[];
ALTER TABLE image_version_events ADD COLUMN etl_details_raw VARCHAR;

ALTER TABLE runs ADD COLUMN list_aliases_calls BIGINT DEFAULT 0;
ALTER TABLE runs ALTER COLUMN list_aliases_calls SET NOT NULL;

ALTER TABLE coverage ADD COLUMN details VARCHAR;
ALTER TABLE coverage ADD COLUMN detailed BIGINT;
ALTER TABLE coverage ADD COLUMN details_error VARCHAR;
