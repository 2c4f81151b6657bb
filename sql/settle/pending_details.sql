-- What: the versions whose details are due, in the state that the warehouse will have after this run.
-- Parameters: $every_ms (the greatest age of details; 0: all are due), $run_id (changes the order from run to run),
-- $images (the paths of the run's files of images).
-- Returns: account_id, region, image_name, version, creation_ms, last_modified_ms, wants_description,
-- wants_aliases (which call is due); sorted by scope, the most urgent first. First come versions with an alias that
-- another version seems to have. Then come versions for which a call was never answered: the newest one of each
-- image, those with an alias, and the others, the newest first. Last come versions for which both calls were
-- answered, by the day of the older answer. Among equals, the order changes from run to run, so that a lookup that
-- fails does not always come before the same others.
-- Reads the temporary tables `listed`, `changed`, `proofs` and `details`, the variable `present_bounds`, and the
-- registered Arrow table `scopes_arrow`, whose t0 is the present time by AWS's clock. A version that is CREATING or
-- DELETING waits until this status ends. An alias belongs to one version: if this run or the stored rows show it on
-- another version that was looked up no earlier, the aliases of the version are looked up again, whatever its status.
WITH present AS (
    -- Images that rest may have pending details too.
    SELECT account_id, region, image_name
    FROM listed
    UNION
    SELECT account_id, region, image_name
    FROM read_parquet($images)
),
states AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        creation_time,
        last_modified_time,
        image_version_status,
        NULL::TIMESTAMPTZ AS described_at,
        NULL::TIMESTAMPTZ AS aliases_at,
        FALSE AS has_alias
    FROM changed
    UNION ALL
    SELECT
        account_id,
        region,
        image_name,
        version,
        creation_time,
        last_modified_time,
        image_version_status,
        etl_described_at AS described_at,
        etl_aliases_at AS aliases_at,
        coalesce(len(aliases) > 0, FALSE) AS has_alias
    FROM stored_near(getvariable('present_bounds'))
    SEMI JOIN present USING (account_id, region, image_name)
    ANTI JOIN changed USING (account_id, region, image_name, version)
    WHERE etl_deleted_at IS NULL
),
held AS (
    SELECT account_id, region, image_name, version, unnest(aliases) AS alias, etl_aliases_at AS read_at
    FROM details
    UNION ALL
    SELECT account_id, region, image_name, version, unnest(stored.aliases) AS alias, etl_aliases_at AS read_at
    FROM (FROM stored_near(getvariable('present_bounds')) WHERE len(aliases) > 0 AND etl_deleted_at IS NULL) AS stored
    SEMI JOIN present USING (account_id, region, image_name)
    ANTI JOIN (FROM details WHERE etl_aliases_at IS NOT NULL) AS looked USING (account_id, region, image_name, version)
),
contradicted AS (
    SELECT DISTINCT mine.account_id, mine.region, mine.image_name, mine.version
    FROM held AS mine
    JOIN held AS others USING (account_id, region, image_name, alias)
    WHERE
        others.version <> mine.version
        AND (mine.read_at IS NULL OR others.read_at >= mine.read_at)
),
due AS (
    SELECT
        states.*,
        row_number() OVER (
            PARTITION BY states.account_id, states.region, states.image_name
            ORDER BY image_version_status = 'CREATED' DESC, states.version DESC
        ) AS age,
        described_at IS NOT NULL AND aliases_at IS NOT NULL AS is_known,
        contradicted.version IS NOT NULL AS is_contradicted,
        image_version_status IN ('CREATING', 'DELETING') AS is_passing,
        NOT is_passing
        AND detail.etl_described_at IS NULL
        AND ($every_ms = 0 OR described_at IS NULL OR described_at < scopes.t0 - to_milliseconds($every_ms)) AS wants_description,
        contradicted.version IS NOT NULL
        OR (
            NOT is_passing
            AND detail.etl_aliases_at IS NULL
            AND ($every_ms = 0 OR aliases_at IS NULL OR aliases_at < scopes.t0 - to_milliseconds($every_ms))
        ) AS wants_aliases
    FROM states
    JOIN (SELECT account_id, region, t0 FROM scopes_arrow) AS scopes USING (account_id, region)
    LEFT JOIN details AS detail
        USING (account_id, region, image_name, version, creation_time, last_modified_time)
    LEFT JOIN contradicted USING (account_id, region, image_name, version)
    LEFT JOIN proofs AS proof
        ON proof.account_id = states.account_id
        AND proof.region = states.region
        AND proof.image_name = states.image_name
        AND states.version BETWEEN proof.first_version AND proof.last_version
        AND states.creation_time <= proof.created_until
    WHERE proof.image_name IS NULL
)
SELECT
    account_id,
    region,
    image_name,
    version,
    epoch_ms(creation_time) AS creation_ms,
    epoch_ms(last_modified_time) AS last_modified_ms,
    wants_description,
    wants_aliases
FROM due
WHERE wants_description OR wants_aliases
ORDER BY
    account_id,
    region,
    NOT is_contradicted,
    is_known,
    CASE WHEN is_known THEN least(described_at, aliases_at)::DATE END,
    age > 1 AND NOT has_alias,
    image_version_status <> 'CREATED',
    CASE WHEN NOT is_known THEN age END,
    md5(image_name || $run_id),
    image_name,
    version;
