"""Coverage as schema 4 stored it, with a row for every stream of every run, and with a random history.

Must not know how today's schema stores coverage.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from image_history.schema import COVERAGE, IMAGES, RUNS, STREAMS, Table
from image_history.warehouse.records import table_of
from image_history.warehouse.statements import names, statement
from tests.behaviour.earlier import columns
from tests.looking import looking

NOON_MS = 1_790_000_000_000
MINUTE_MS = 60_000
SCHEMA = 4
Record = dict[str, object]
# The exact queries of the reports from the time when each stream had a row in each run.
FRESHNESS = """
WITH covered AS (
    SELECT
        coverage.account_id,
        coverage.region,
        coverage.image_name,
        max(coverage.t0) FILTER (coverage.outcome = 'complete') AS covered_until,
        arg_max(coverage.outcome, runs.finished_at) AS outcome,
        arg_max_null(coverage.error_message, runs.finished_at) AS error_message,
        arg_max(coverage.etl_run_id, runs.finished_at) AS etl_run_id,
        max(runs.finished_at) AS finished_at
    FROM coverage
    JOIN runs USING (etl_run_id)
    GROUP BY coverage.account_id, coverage.region, coverage.image_name
)
SELECT covered.*, coalesce(streams.live_versions, 0) AS live_versions
FROM covered
LEFT JOIN streams USING (account_id, region, image_name)
LEFT JOIN images USING (account_id, region, image_name)
WHERE covered.image_name IS NULL OR (images.image_name IS NOT NULL AND images.etl_deleted_at IS NULL)
ORDER BY covered.account_id, covered.region, covered.image_name NULLS FIRST
"""
SCOPES = """
SELECT
    coverage.account_id,
    coverage.region,
    coverage.etl_run_id,
    runs.finished_at,
    count(coverage.image_name) AS streams,
    count(coverage.image_name) FILTER (coverage.outcome NOT IN ('complete', 'gone')) AS incomplete_streams,
    min(coverage.t0) FILTER (coverage.outcome = 'complete') AS covered_until
FROM coverage
JOIN runs USING (etl_run_id)
GROUP BY coverage.account_id, coverage.region, coverage.etl_run_id, runs.finished_at
QUALIFY row_number() OVER (
    PARTITION BY coverage.account_id, coverage.region ORDER BY runs.finished_at DESC
) = 1
ORDER BY ALL
"""
BY_RUN = """
SELECT
    etl_run_id,
    count(DISTINCT (account_id, region)) AS scopes,
    count(*) FILTER (outcome NOT IN ('complete', 'gone')) AS incomplete_streams
FROM coverage
GROUP BY etl_run_id
ORDER BY ALL
"""
INCOMPLETE = "FROM coverage WHERE outcome NOT IN ('complete', 'gone') ORDER BY ALL"


@dataclass(slots=True)
class Past:
    """Runs over one account and region. Images are created, changed, deleted, excluded, synced alone, and fail."""

    rng: random.Random
    images: int = 12
    runs: int = 30
    known: dict[str, Record] = field(default_factory=dict)
    excluded: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    def happens(self) -> Iterator[tuple[Record, list[Record]]]:
        """Yield each run with its rows of coverage."""
        for number in range(self.runs):
            run_id = f"run-{number:06d}"
            start_ms = NOON_MS + number * 60 * MINUTE_MS
            run = {
                **dict.fromkeys((column.name for column in RUNS.columns if not column.nullable), 0),
                **dict.fromkeys(("outcome", "mode", "connector_version", "duckdb_version", "host"), "x"),
                "etl_run_id": run_id,
                "started_at": start_ms,
                "finished_at": start_ms + 20 * MINUTE_MS,
            }
            yield run, list(self._covered(run_id, start_ms))

    def _covered(self, run_id: str, start_ms: int) -> Iterator[Record]:
        rng = self.rng
        scope = {"etl_run_id": run_id, "account_id": "111122223333", "region": "us-east-1"}
        quiet = {"readings": 1, "phantoms": 0}
        if rng.random() < 0.08:
            refused = {"pages": 0, "rows": 0, "error_code": "AccessDenied", "error_message": "no"}
            yield {**scope, **quiet, **refused, "listing": "images", "outcome": "denied"}
            return
        if rng.random() < 0.1:
            self.excluded = frozenset(self._names(rng.randint(0, 3)))
        wanted = [name for name in self._names(self.images) if name not in self.excluded]
        if rng.random() < 0.1:
            wanted = wanted[:1]
        listed = {"pages": 1, "rows": len(wanted), "t0": start_ms}
        yield {**scope, **quiet, **listed, "listing": "images", "outcome": "complete"}
        for place, name in enumerate(wanted):
            before = self.known.get(name)
            if name in self.gone and rng.random() < 0.8:
                continue
            told = self._told(name, before, start_ms + 1000 + place * rng.randint(0, 3000))
            self.known[name] = told
            yield {**scope, "image_name": name, **told}

    def _told(self, name: str, before: Record | None, t0_ms: int) -> Record:
        rng = self.rng
        fresh: Record = {
            "listing": "full",
            "outcome": "complete",
            "pages": 1,
            "rows": rng.randint(1, 90),
            "readings": 1,
            "phantoms": 0,
            "deleted": 0,
            "watermark": t0_ms - 5 * MINUTE_MS,
        }
        self.gone -= {name}
        kind = rng.random()
        if before is None or before["outcome"] != "complete" or kind < 0.06:
            return {**fresh, "t0": t0_ms}
        if kind < 0.1:
            return {**before, "outcome": "partial", "error_code": "X", "error_message": "no", "t0": t0_ms}
        if kind < 0.13:
            self.gone |= {name}
            return {**fresh, "outcome": "gone", "pages": 0, "rows": 0, "deleted": 3, "t0": t0_ms}
        if kind < 0.17:
            return {**fresh, "pages": 4, "rows": 350, "watermark": before["watermark"], "t0": t0_ms}
        if before["pages"] != 1 or (before["listing"] == "incremental" and kind < 0.9):
            part: Record = {"listing": "incremental", "pages": 1, "rows": 7, "deleted": None}
            return {**before, **part, "t0": t0_ms}
        return {**before, "t0": t0_ms}

    @staticmethod
    def _names(count: int) -> list[str]:
        return [f"image-{number:04d}" for number in range(count)]


def write(path: Path, past: Past) -> None:
    """Write a warehouse of schema 4 with this history."""
    happened = list(past.happens())
    with duckdb.connect(path, config={"storage_compatibility_version": "v1.5.0"}) as connection:
        for name in names("migrations")[: SCHEMA + 1]:
            record = {"number": int(name.split("/")[1][:3]), "name": name, "connector_version": "0.0.1"}
            connection.execute("BEGIN").execute(statement(name)).fetchall()
            connection.execute(statement("session/record_migration"), record).execute("COMMIT").fetchall()
    key = {"account_id": "111122223333", "region": "us-east-1", "etl_run_id": "run-000000"}
    streams: list[Record] = [{**key, "image_name": name, "live_versions": 5} for name in past.known]
    instants = dict.fromkeys(
        ("creation_time", "last_modified_time", "etl_first_seen_at", "etl_changed_at"), NOON_MS
    )
    images: list[Record] = [
        {
            **key,
            **instants,
            "image_name": name,
            "image_arn": "arn",
            "image_status": "CREATED",
            "etl_deleted_at": NOON_MS if name in past.gone else None,
        }
        for name in past.known
    ]
    insert(path, RUNS, [run for run, _ in happened])
    insert(path, COVERAGE, [row for _, rows in happened for row in rows])
    insert(path, STREAMS, streams)
    insert(path, IMAGES, images)


def insert(path: Path, table: Table, records: list[Record]) -> None:
    """Add rows to a table, in the columns that the table has in this file."""
    shared = ", ".join(columns(path)[table.name])
    offered = table_of(table, records)  # noqa: F841 - DuckDB finds it by its name
    with duckdb.connect(path) as connection:
        connection.execute(f"INSERT INTO {table.name} ({shared}) SELECT {shared} FROM offered").fetchall()


def ask(path: Path, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query, read through Arrow."""
    with looking(path) as connection:
        columns_ = connection.sql(sql).to_arrow_table().columns
        return list(zip(*(column.to_pylist() for column in columns_), strict=True))


QUIET = (
    """
    INSERT INTO runs BY NAME
    SELECT runs.* REPLACE (
        format('run-{:06d}', later.number) AS etl_run_id, finished_at + to_hours(later.number) AS finished_at
    )
    FROM runs, range(1, $runs) AS later(number), range($images) AS image(number)
    WHERE image.number = 0
    """,
    """
    INSERT INTO coverage BY NAME
    SELECT
        runs.etl_run_id, '111122223333' AS account_id, 'us-east-1' AS region, 'complete' AS outcome, 1 AS pages,
        1 AS readings, 0 AS phantoms, finished_at + to_seconds(image.number) AS t0,
        CASE WHEN image.number > 0 THEN format('image-{:04d}', image.number) END AS image_name,
        CASE WHEN image.number > 0 THEN 'full' ELSE 'images' END AS listing,
        CASE WHEN image.number > 0 THEN 7 ELSE $images END AS rows,
        CASE WHEN image.number > 0 THEN 0 END AS deleted
    FROM runs, range($images + 1) AS image(number)
    WHERE $runs > 0
    """,
    """
    INSERT INTO streams BY NAME
    SELECT DISTINCT account_id, region, image_name, 7 AS live_versions, 'run-000000' AS etl_run_id
    FROM coverage
    WHERE image_name IS NOT NULL AND $images + $runs > 0
    """,
    """
    INSERT INTO images BY NAME
    SELECT
        account_id, region, image_name, etl_run_id, 'arn' AS image_arn, 'CREATED' AS image_status,
        now() AS creation_time, now() AS last_modified_time, now() AS etl_first_seen_at, now() AS etl_changed_at
    FROM streams
    WHERE $images + $runs > 0
    """,
)


def write_quiet(path: Path, images: int, runs: int) -> None:
    """Write a warehouse of schema 4 in which nothing changed after the first run."""
    write(path, Past(random.Random(1), runs=0))
    (first, _), *_ = Past(random.Random(1), runs=1).happens()
    insert(path, RUNS, [first])
    with duckdb.connect(path) as connection:
        for sql in QUIET:
            connection.execute(sql, {"images": images, "runs": runs}).fetchall()
