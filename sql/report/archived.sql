-- What: versions that a moving alias such as latest points to although they are archived, or about to be.
-- Parameters: $scope, $image (globs), $limit (most rows).
-- Returns: total (of all such versions), account_id, region, image_name, version, aliases (the moving ones),
-- vendor_guidance, last_modified_time.
SELECT
    count(*) OVER () AS total,
    account_id,
    region,
    image_name,
    version,
    list_filter(aliases, lambda alias: NOT regexp_full_match(alias, 'v?[0-9]+([._-][0-9]+)*')) AS aliases,
    vendor_guidance,
    last_modified_time
FROM archived_but_aliased
WHERE
    len(list_filter(aliases, lambda alias: NOT regexp_full_match(alias, 'v?[0-9]+([._-][0-9]+)*'))) > 0
    AND concat(account_id, '/', region) GLOB $scope
    AND image_name GLOB $image
ORDER BY account_id, region, image_name, version
LIMIT $limit::BIGINT;
