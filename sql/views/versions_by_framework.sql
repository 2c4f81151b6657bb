-- What: how many versions there are of each machine learning framework, language and processor.
-- Columns: ml_framework, programming_lang, processor (each null if the maintainer gave none), versions, images,
-- horovod_versions, newest_at (when the newest of them was created).
-- Filled by syncs with the setting `details`; versions with unknown details are left out.
CREATE OR REPLACE VIEW versions_by_framework AS
SELECT
    ml_framework,
    programming_lang,
    processor,
    count(*) AS versions,
    count(DISTINCT (account_id, region, image_name)) AS images,
    count(*) FILTER (horovod) AS horovod_versions,
    max(creation_time) AS newest_at
FROM current_image_versions
WHERE coalesce(ml_framework, programming_lang, processor, base_image, container_image, horovod::VARCHAR) IS NOT NULL
GROUP BY ml_framework, programming_lang, processor;
