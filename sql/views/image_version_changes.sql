-- What: the versions that changed between what was known at two instants, with the difference.
-- Parameters: since, until, two instants; changes that were learned after since and up to until count.
-- Columns: account_id, region, image_name, version, change (created, modified, deleted, recreated, reappeared, or
-- transient: created and deleted, or changed and changed back, in between), description, status_before,
-- status_after (null if the version was not known to exist), failure_reason, changes (name, before and after
-- of each column that differs), events, happened_at, learned_at, etl_last_seen_at, etl_delete_evidence.
CREATE OR REPLACE MACRO image_version_changes(since, until) AS TABLE
WITH newest AS (
    SELECT
        account_id,
        region,
        image_name,
        version,
        arg_max(event, etl_observed_at) FILTER (etl_observed_at <= since::TIMESTAMPTZ) AS before,
        arg_max(event, etl_observed_at) AS after,
        count(*) FILTER (etl_observed_at > since::TIMESTAMPTZ) AS events
    FROM image_version_events AS event
    SEMI JOIN (
        FROM image_version_events
        WHERE etl_observed_at > since::TIMESTAMPTZ AND etl_observed_at <= until::TIMESTAMPTZ
    ) AS touched USING (account_id, region, image_name, version)
    WHERE etl_observed_at <= until::TIMESTAMPTZ
    GROUP BY account_id, region, image_name, version
),
states AS (
    SELECT
        *,
        before IS NOT NULL AND before.etl_change <> 'deleted' AS was_there,
        after.etl_change <> 'deleted' AS is_there,
        CASE WHEN before IS NULL THEN [] ELSE changes_between(before, after) END AS changes
    FROM newest
),
judged AS (
    SELECT
        *,
        CASE
            WHEN NOT is_there AND was_there THEN 'deleted'
            WHEN NOT is_there THEN 'transient'
            WHEN before IS NULL THEN 'created'
            WHEN after.creation_time <> before.creation_time THEN 'recreated'
            WHEN NOT was_there THEN 'reappeared'
            WHEN len(changes) = 0 THEN 'transient'
            ELSE 'modified'
        END AS change
    FROM states
)
SELECT
    account_id,
    region,
    image_name,
    version,
    change,
    described_change(change, before, after) AS description,
    CASE WHEN was_there THEN before.image_version_status END AS status_before,
    CASE WHEN is_there THEN after.image_version_status END AS status_after,
    after.failure_reason,
    changes,
    events,
    after.etl_valid_from AS happened_at,
    after.etl_observed_at AS learned_at,
    after.etl_last_seen_at,
    after.etl_delete_evidence
FROM judged;
