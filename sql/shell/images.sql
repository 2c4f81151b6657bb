-- What: the names of images that begin with some letters, for the completion of the command line.
-- Grain: one row per name.
-- Parameters: $typed (the letters), $most (most names).
-- Returns: image_name.
SELECT DISTINCT image_name
FROM images
WHERE starts_with(image_name, $typed)
ORDER BY image_name
LIMIT $most::BIGINT;
