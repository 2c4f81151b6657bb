-- streams.unexplained was too low if an absence was proved twice, if an absence was outside the lowest and the
-- highest version, or if an absent number was seen after all; it was null if it was never counted. It is counted
-- again for each stream that has versions, in the same way as in a load (sql/load/streams_after.sql).

UPDATE streams AS target
SET unexplained = counted.unexplained
FROM (
    WITH versions AS NOT MATERIALIZED (
        SELECT stored.account_id, stored.region, stored.image_name, stored.version
        FROM image_versions AS stored
        JOIN streams USING (account_id, region, image_name)
        WHERE streams.life_began_at IS NULL OR stored.creation_time >= streams.life_began_at
    ),
    live AS (
        SELECT
            account_id,
            region,
            image_name,
            count(*) AS numbers,
            min(version) AS lowest_version,
            max(version) AS highest_version
        FROM versions
        GROUP BY ALL
    ),
    covered AS (
        SELECT absent.account_id, absent.region, absent.image_name, absent.first_version, absent.last_version
        FROM absent_versions AS absent
        JOIN streams USING (account_id, region, image_name)
        WHERE absent.image_created_at IS NOT DISTINCT FROM streams.image_created_at
    ),
    hulls AS (
        SELECT account_id, region, image_name, min(first_version) AS lowest, max(last_version) AS highest
        FROM covered
        GROUP BY ALL
    ),
    items AS (
        SELECT *, FALSE AS present
        FROM covered
        UNION ALL
        SELECT account_id, region, image_name, version, version, TRUE
        FROM versions
        JOIN hulls USING (account_id, region, image_name)
        WHERE version BETWEEN hulls.lowest AND hulls.highest
    ),
    absent AS (
        SELECT
            account_id,
            region,
            image_name,
            sum(greatest(0, least(last_version, highest_version) - greatest(first_version - 1, covered_to, lowest_version - 1)))
            - count(*) FILTER (present) AS numbers
        FROM (
            SELECT
                *,
                max(last_version) OVER (
                    PARTITION BY account_id, region, image_name
                    ORDER BY first_version, last_version
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS covered_to
            FROM items
        )
        JOIN live USING (account_id, region, image_name)
        GROUP BY ALL
    )
    SELECT
        account_id,
        region,
        image_name,
        coalesce(live.highest_version - live.lowest_version + 1 - live.numbers - coalesce(absent.numbers, 0), 0)::BIGINT AS unexplained
    FROM (
        SELECT DISTINCT account_id, region, image_name
        FROM image_versions
    ) AS known
    LEFT JOIN live USING (account_id, region, image_name)
    LEFT JOIN absent USING (account_id, region, image_name)
) AS counted
WHERE
    target.account_id = counted.account_id
    AND target.region = counted.region
    AND target.image_name = counted.image_name
    AND target.unexplained IS DISTINCT FROM counted.unexplained;
