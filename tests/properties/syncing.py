"""The warehouse of a state machine with everything that must hold of it, and the faults of its simulated AWS.

Must not know which changes are made, or in which order.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from image_history.config import Config, Rate, Retry
from image_history.model import Outcome, RunReport, Stop
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import Exchange, Simulator
from image_history.warehouse.statements import names, statement
from tests.behaviour.harness import STORED, Row, true_rows
from tests.looking import looking

if TYPE_CHECKING:
    import duckdb
    from aiohttp import web

START_MS = 1_790_000_000_000

EVENTS = """
SELECT COLUMNS(*)::VARCHAR FROM image_version_events
ORDER BY epoch_ms(image_version_events.etl_observed_at), image_name, image_version_events.version
"""
KNOWN = "SELECT COLUMNS(*)::VARCHAR FROM image_versions_known_at(?::TIMESTAMPTZ) ORDER BY ALL"
MARKED = """
SELECT image_name, version, epoch_ms(creation_time), etl_delete_evidence
FROM image_versions WHERE etl_deleted_at IS NOT NULL
"""
DOUBLED = """
SELECT account_id, region, image_name, version FROM image_versions GROUP BY ALL HAVING count(*) > 1
"""
OUT_OF_STEP = """
SELECT stored.account_id, stored.region, stored.image_name, stored.version
FROM image_versions AS stored
LEFT JOIN (
    FROM image_version_events
    QUALIFY row_number() OVER (
        PARTITION BY account_id, region, image_name, version ORDER BY etl_observed_at DESC
    ) = 1
) AS event USING (account_id, region, image_name, version)
WHERE (
    stored.image_arn, stored.image_version_arn, stored.image_version_status, stored.failure_reason,
    stored.creation_time, stored.last_modified_time, stored.etl_valid_from, stored.etl_run_id,
    stored.etl_deleted_at IS NOT NULL, stored.etl_delete_evidence
) IS DISTINCT FROM (
    event.image_arn, event.image_version_arn, event.image_version_status, event.failure_reason,
    event.creation_time, event.last_modified_time, event.etl_valid_from, event.etl_run_id,
    event.etl_change = 'deleted', event.etl_delete_evidence
)
"""
INCREMENTAL = """
SELECT image_name FROM coverage_in_full
WHERE listing = 'incremental' AND etl_run_id = (SELECT etl_run_id FROM runs ORDER BY finished_at DESC LIMIT 1)
"""
WATERMARKS = "SELECT image_name, epoch_ms(watermark) FROM streams WHERE watermark IS NOT NULL"


@dataclass(slots=True)
class Faults:
    """What AWS refuses or tells wrongly, until `reset`; denial stays until it is lifted."""

    simulator: Simulator
    denied: bool = False
    throttled: int = 0
    _omitted: dict[tuple[str, int], int] = field(default_factory=dict)
    _used: set[str] = field(default_factory=set)
    _due: tuple[int, Callable[[], None]] | None = None
    _seen: int = 0

    def __post_init__(self) -> None:
        self.simulator.fault = self

    def omit(self, name: str, version: int, times: int) -> None:
        """Leave a version out of the next lists that would hold it."""
        self._omitted[name, version] = times

    def at(self, call: int, act: Callable[[], None]) -> None:
        """Do something when so many calls have been answered."""
        self._due, self._seen = (call, act), 0

    def reset(self) -> set[str]:
        """Forget what was due; return the images of which a list was cut."""
        used, self._used = self._used, set()
        self._omitted.clear()
        self._due, self.throttled = None, 0
        return used

    async def __call__(self, _: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        """Answer otherwise than the simulator would, or let its answer pass."""
        self._seen += 1
        if self._due is not None and self._seen == self._due[0]:
            self._due[1]()
        if self.throttled and exchange.operation != "GetCallerIdentity":
            self.throttled -= 1
            return _refused(exchange, "ThrottlingException")
        if self.denied and exchange.operation == "DescribeImageVersion":
            return _refused(exchange, "AccessDeniedException")
        if exchange.operation == "ListImageVersions" and exchange.status == 200 and self._omitted:
            return self._without_omitted(exchange)
        return None

    def _without_omitted(self, exchange: Exchange) -> web.StreamResponse | None:
        body = msgspec.json.decode(exchange.body)
        name = exchange.image_name or ""
        kept = [row for row in body["ImageVersions"] if not self._omits(name, row["Version"])]
        if len(kept) == len(body["ImageVersions"]):
            return None
        self._used.add(name)
        return _answer(exchange, 200, msgspec.json.encode({**body, "ImageVersions": kept}))

    def _omits(self, name: str, version: int) -> bool:
        left = self._omitted.get((name, version), 0)
        if left > 0:
            self._omitted[name, version] = left - 1
        return left > 0


def _refused(exchange: Exchange, code: str) -> web.StreamResponse:
    return _answer(exchange, 400, msgspec.json.encode({"__type": code, "message": "by the state machine"}))


def _answer(exchange: Exchange, status: int, body: bytes) -> web.StreamResponse:
    from aiohttp import web

    return web.Response(status=status, headers=exchange.headers, body=body)


@dataclass(frozen=True, slots=True)
class Done:
    """A run that was loaded. `whole`: it read everything it planned, by itself, and deleted what it proved."""

    report: RunReport

    @property
    def whole(self) -> bool:
        return (
            self.report.outcome is Outcome.COMPLETE
            and not self.report.resumed
            and all(scope.held_back == 0 for scope in self.report.scopes)
        )


class Warehouse:
    """A warehouse that is synced from a simulator, and what was read from it before."""

    def __init__(self, folder: Path, simulator: Simulator) -> None:
        self._simulator = simulator
        self._stop = Stop()
        self._events: list[Row] = []
        self._known: list[tuple[object, list[Row]]] = []
        self._watermarks: dict[object, int] = {}
        self._random = random.Random(7)
        self._config = Config(
            warehouse=folder / "image-history.duckdb",
            rate=Rate(list_per_second=100_000, describe_per_second=100_000),
            retry=Retry(attempts=4, max_wait=timedelta(milliseconds=5)),
            page_size=3,
            concurrency=2,
        )

    def interrupt(self) -> None:
        """Ask the run to stop, as a signal does."""
        self._stop.request(15)

    def sync(self, *, full: bool) -> Done:
        """One run; a full one may delete any number of versions."""
        self._stop = Stop()
        options = SyncOptions(full=full, allow_mass_delete=full)
        return Done(sync(self._config, options=options, stop=self._stop))

    def check(self) -> None:
        """What holds after every run, whatever happened to it."""
        if not self._config.warehouse.exists():
            return
        with looking(self._config.warehouse) as connection:
            self._no_false_deletion(connection)
            for query in (DOUBLED, OUT_OF_STEP, *map(statement, names("audit"))):
                rows = connection.execute(query).fetchall()
                assert rows == [], f"{query.strip()}\n{rows}"
            self._only_appended(connection)
            self._watermarks_hold(connection)
            self._known_as_before(connection)

    def _no_false_deletion(self, connection: duckdb.DuckDBPyConnection) -> None:
        truth = self._simulator.world.truth()
        existing = {(row.image_name, row.version, row.creation_ms) for row in truth}
        for name, version, creation_ms, evidence in connection.execute(MARKED).fetchall():
            gone = (name, version, creation_ms) not in existing
            assert gone, f"{name} {version} exists and is marked deleted ({evidence})"

    def _only_appended(self, connection: duckdb.DuckDBPyConnection) -> None:
        events = connection.execute(EVENTS).fetchall()
        assert events[: len(self._events)] == self._events, "an earlier event has changed"
        self._events = events

    def _watermarks_hold(self, connection: duckdb.DuckDBPyConnection) -> None:
        marks = dict(connection.execute(WATERMARKS).fetchall())
        newest = self._simulator.clock.now_ms() - 1000
        for name, watermark in marks.items():
            assert self._watermarks.get(name, 0) <= watermark <= newest, f"watermark of {name}: {watermark}"
        self._watermarks = marks

    def _known_as_before(self, connection: duckdb.DuckDBPyConnection) -> None:
        earlier = self._random.sample(self._known, min(3, len(self._known)))
        for instant, rows in earlier:
            assert connection.execute(KNOWN, [instant]).fetchall() == rows, f"known_at {instant} has changed"
        newest = connection.execute("SELECT max(finished_at)::VARCHAR FROM runs").fetchone()
        if newest is not None and newest[0] is not None:
            self._known.append((newest[0], connection.execute(KNOWN, [newest[0]]).fetchall()))

    def compare(self, *, uncertain: frozenset[str]) -> None:
        """Hold the live versions against the truth, as far as the newest run's listings cover it."""
        with looking(self._config.warehouse) as connection:
            stored = set(connection.execute(STORED).fetchall())
            partly = {name for (name,) in connection.execute(INCREMENTAL).fetchall()}
        truth = true_rows(self._simulator.world)
        lacking = {row for row in truth - stored if row[2] not in uncertain}
        surplus = {row for row in stored - truth if row[2] not in partly | uncertain}
        assert not lacking, f"exists and is not stored so: {lacking}"
        assert not surplus, f"is stored and does not exist so: {surplus}"
