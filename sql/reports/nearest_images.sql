-- What: the images whose names are nearest to an unknown name, the nearest first.
-- Parameters: $image.
-- Returns: account_id, region, image_name; at most three rows.
SELECT account_id, region, image_name
FROM images
ORDER BY
    damerau_levenshtein(lower(image_name), lower($image)),
    damerau_levenshtein(image_name, $image),
    image_name,
    account_id,
    region
LIMIT 3;
