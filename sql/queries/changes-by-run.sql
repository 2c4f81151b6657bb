-- What: what each of the last runs changed, the latest first.
-- Parameters: $runs = 20 (how many runs).
-- Columns: started_at, outcome, mode, inserted, updated, deleted, reappeared, unchanged, images_changed, events,
-- etl_run_id.
WITH newest AS (
    SELECT * FROM runs ORDER BY started_at DESC, etl_run_id DESC LIMIT $runs::BIGINT
)
SELECT
    newest.started_at,
    newest.outcome,
    newest.mode,
    newest.inserted,
    newest.updated,
    newest.deleted,
    newest.reappeared,
    newest.unchanged,
    count(DISTINCT (events.account_id, events.region, events.image_name)) FILTER (
        events.image_name IS NOT NULL
    ) AS images_changed,
    count(events.image_name) AS events,
    newest.etl_run_id
FROM newest
LEFT JOIN image_version_events AS events USING (etl_run_id)
GROUP BY ALL
ORDER BY newest.started_at DESC, newest.etl_run_id DESC;
