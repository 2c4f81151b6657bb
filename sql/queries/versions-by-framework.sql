-- What: how many versions there are of each framework, language and processor; needs the setting `details`.
-- Parameters: none.
-- Columns: ml_framework, programming_lang, processor, versions, images, horovod_versions, newest_at.
SELECT *
FROM versions_by_framework
ORDER BY versions DESC, ml_framework, programming_lang, processor;
