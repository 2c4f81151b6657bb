"""The warehouse of a state machine with all checks of it, and the faults of its simulated AWS.

Must not know which changes are made, or in which order.
"""

from __future__ import annotations

import itertools
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from image_history.config import Account, Config, Rate, Retry
from image_history.durable.effects import Effect, install
from image_history.errors import WarehouseLockedError
from image_history.landing.runs import Landing
from image_history.model import Outcome, RunReport, Stop
from image_history.run.pipeline import SyncOptions, sync
from image_history.run.visible import Rhythm
from image_history.simulator import Exchange, Simulator, VersionTruth
from image_history.warehouse.statements import names, statement
from tests.behaviour.harness import STORED, Row, true_rows
from tests.behaviour.hinting import Killed
from tests.looking import looking
from tests.properties.journal import Journal, Life

if TYPE_CHECKING:
    import duckdb
    from aiohttp import web

START_MS = 1_790_000_000_000
HOME, AWAY = "us-east-1", "eu-west-1"
# Load everything at once when it is read.
EAGER = Rhythm(part=0, most=0, slices=0, quiet=0, look=0.001)

# The time of last modification, the status and the failure reason.
State = tuple[object, ...]

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
DELETIONS = """
SELECT image_name, version, epoch_ms(creation_time), epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from)
FROM image_version_history WHERE etl_change = 'deleted'
"""
AS_OF = """
SELECT image_name, version, epoch_ms(creation_time), epoch_ms(last_modified_time), image_version_status,
    failure_reason
FROM image_versions_as_of(make_timestamptz(? * 1000))
"""
IN_PARTS = "SELECT etl_run_id FROM coverage GROUP BY ALL HAVING count(DISTINCT loaded_at) > 1"
LOADED = "SELECT etl_run_id FROM runs"
INCREMENTAL = """
SELECT image_name FROM coverage_in_full
WHERE listing = 'incremental' AND etl_run_id = (SELECT etl_run_id FROM runs ORDER BY finished_at DESC LIMIT 1)
"""
WATERMARKS = "SELECT image_name, epoch_ms(watermark) FROM streams WHERE watermark IS NOT NULL"


@dataclass(slots=True)
class Faults:
    """What AWS refuses or answers wrongly, until `reset`; denial stays until it is lifted."""

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
        """Omit a version from the next `times` lists that would hold it."""
        self._omitted[name, version] = times

    def at(self, call: int, act: Callable[[], None]) -> None:
        """Call `act` when the simulator answers the call of that number."""
        self._due, self._seen = (call, act), 0

    def reset(self) -> set[str]:
        """Forget the faults that are due; returns the images whose list omitted a version."""
        used, self._used = self._used, set()
        self._omitted.clear()
        self._due, self.throttled = None, 0
        return used

    async def __call__(self, _: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        """Change the simulator's answer, or return None to let it pass."""
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
    """A run that was loaded. `whole`: it read all streams without a resume, and no deletion was held back."""

    report: RunReport

    @property
    def whole(self) -> bool:
        return (
            self.report.outcome is Outcome.COMPLETE
            and not self.report.resumed
            and all(scope.held_back == 0 for scope in self.report.scopes)
        )


@dataclass(slots=True)
class Told:
    """What the warehouse has shown until now; a backup of the file has a copy of this.

    `truths` are the versions that existed at AWS at each sync that read everything completely.
    """

    events: list[Row] = field(default_factory=list)
    known: list[tuple[object, list[Row]]] = field(default_factory=list)
    watermarks: dict[object, int] = field(default_factory=dict)
    truths: list[tuple[int, dict[Life, State]]] = field(default_factory=list)

    def copy(self) -> Told:
        """A copy of the present state."""
        return Told(list(self.events), list(self.known), dict(self.watermarks), list(self.truths))


@dataclass(frozen=True, slots=True)
class Backup:
    """A copy of the file, and what the warehouse had shown by then."""

    file: Path
    told: Told


class Warehouse:
    """A warehouse that is synced from a simulator, and what was read from it before.

    `journal` holds when each version was deleted. Two kinds of versions have no check of their times: those in
    `put`, which were given times that no change at AWS gives, and those that a list still showed after their
    deletion; each of `lags` is an interval in which lists showed deleted versions.
    """

    def __init__(self, folder: Path, simulator: Simulator, journal: Journal | None = None) -> None:
        self._simulator = simulator
        self._stop = Stop()
        self._told = Told()
        self._random = random.Random(7)
        self.journal = Journal(simulator.world) if journal is None else journal
        self.rhythm = Rhythm()
        self.put: set[Life] = set()
        self.lags: list[tuple[int, int]] = []
        self._config = Config(
            warehouse=folder / "image-history.duckdb",
            accounts=(Account(regions=(HOME, AWAY)),),
            rate=Rate(list_per_second=100_000, describe_per_second=100_000),
            retry=Retry(attempts=4, max_wait=timedelta(milliseconds=5)),
            page_size=3,
            concurrency=2,
            lock_wait=timedelta(milliseconds=1),
        )

    @property
    def landing(self) -> Path:
        """The folder of a sync's landing."""
        return self._config.landing_folder

    @property
    def holds_runs(self) -> bool:
        """Whether a run was loaded yet."""
        return bool(self._told.known)

    def interrupt(self) -> None:
        """Ask the run to stop, as a signal does."""
        self._stop.request(15)

    def back_up(self, to: Path) -> Backup:
        """Copy the file, as an operator may do between two syncs."""
        shutil.copy(self._config.warehouse, to)
        return Backup(to, self._told.copy())

    def put_back(self, backup: Backup) -> None:
        """Restore a copy."""
        self._config.warehouse.with_name(f"{self._config.warehouse.name}.wal").unlink(missing_ok=True)
        shutil.copy(backup.file, self._config.warehouse)
        self._told = backup.told.copy()

    @contextmanager
    def locked(self, after: int, times: int) -> Iterator[None]:
        """Refuse `times` openings of the file after the first `after`, as if another program had locked it."""
        opened = 0

        def refuse(effect: Effect, subject: str) -> None:
            nonlocal opened
            opened += effect is Effect.CONNECT
            if effect is Effect.CONNECT and after < opened <= after + times:
                raise WarehouseLockedError(
                    f"Another program has the warehouse ({subject}).", holder="another"
                )

        remove = install(refuse)
        try:
            yield
        finally:
            remove()

    @contextmanager
    def killed(self, after: int) -> Iterator[None]:
        """Kill a run before its effect number `after`."""
        reached = itertools.count(1)

        def kill(_: Effect, subject: str) -> None:
            if next(reached) == after:
                raise Killed(subject)

        remove = install(kill)
        try:
            yield
        finally:
            remove()

    def in_parts(self) -> int:
        """The number of runs that were loaded in more than one part."""
        if not self.holds_runs:
            return 0
        with looking(self._config.warehouse) as connection:
            return len(connection.execute(IN_PARTS).fetchall())

    def sync(self, *, full: bool, allow: bool | None = None) -> Done:
        """Run one sync; a full sync may delete any number of versions unless `allow` says otherwise.

        After the sync, all pending runs of the landing folder are in the warehouse.
        """
        self._stop = Stop()
        waiting = self._waiting()
        options = SyncOptions(full=full, allow_mass_delete=full if allow is None else allow)
        done = Done(sync(self._config, options=options, stop=self._stop, rhythm=self.rhythm))
        with looking(self._config.warehouse) as connection:
            loaded = {run_id for (run_id,) in connection.execute(LOADED).fetchall()}
        assert waiting <= loaded, f"never loaded: {waiting - loaded}"
        assert self._waiting() == set(), "left in the landing folder"
        return done

    def _waiting(self) -> set[str]:
        if not self.landing.exists():
            return set()
        return {run.plan.run_id for run in Landing(self.landing).runs()}

    def check(self) -> None:
        """Check what holds after every run, whatever happened to it."""
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
        events, before = connection.execute(EVENTS).fetchall(), self._told.events
        assert events[: len(before)] == before, "an earlier event has changed"
        self._told.events = events

    def _watermarks_hold(self, connection: duckdb.DuckDBPyConnection) -> None:
        marks = dict(connection.execute(WATERMARKS).fetchall())
        newest, before = self._simulator.clock.now_ms() - 1000, self._told.watermarks
        for name, watermark in marks.items():
            assert before.get(name, 0) <= watermark <= newest, f"watermark of {name}: {watermark}"
        self._told.watermarks = marks

    def _known_as_before(self, connection: duckdb.DuckDBPyConnection) -> None:
        known = self._told.known
        for instant, rows in self._random.sample(known, min(3, len(known))):
            assert connection.execute(KNOWN, [instant]).fetchall() == rows, f"known_at {instant} has changed"
        newest = connection.execute("SELECT max(finished_at)::VARCHAR FROM runs").fetchone()
        if newest is not None and newest[0] is not None:
            known.append((newest[0], connection.execute(KNOWN, [newest[0]]).fetchall()))

    def compare(self, *, uncertain: frozenset[str]) -> None:
        """Compare the live versions with the truth, as far as the newest run's listings cover it."""
        with looking(self._config.warehouse) as connection:
            stored = set(connection.execute(STORED).fetchall())
            partly = {name for (name,) in connection.execute(INCREMENTAL).fetchall()}
        truth = true_rows(self._simulator.world)
        lacking = {row for row in truth - stored if row[2] not in uncertain}
        surplus = {row for row in stored - truth if row[2] not in partly | uncertain}
        assert not lacking, f"exists and is not stored so: {lacking}"
        assert not surplus, f"is stored and does not exist so: {surplus}"

    def compare_history(self) -> None:
        """Compare past states with the truth after a complete run; each deletion lies within its interval."""
        rows = self._simulator.world.truth()
        self._told.truths.append((self._simulator.clock.now_ms(), dict(map(_state_of, rows))))
        with looking(self._config.warehouse) as connection:
            windows = [(Life(*row[:3]), row[3], row[4]) for row in connection.execute(DELETIONS).fetchall()]
            for life, seen_ms, gone_ms in windows:
                went_ms = self.journal.gone.get(life)
                assert went_ms is not None, f"{life} never went"
                held = seen_ms <= went_ms <= gone_ms or self._untimed(life)
                assert held, f"{life} went at {went_ms}, not from {seen_ms} to {gone_ms}"
            truths = self._told.truths
            for instant_ms, truth in {
                id(each): each for each in (truths[-1], *self._sample(truths))
            }.values():
                answers = {
                    Life(*row[:3]): tuple(row[3:])
                    for row in connection.execute(AS_OF, [instant_ms]).fetchall()
                }
                unsure = {life for life, seen_ms, gone_ms in windows if seen_ms <= instant_ms <= gone_ms}
                wrong = {
                    life: (truth.get(life), answers.get(life))
                    for life in (truth.keys() | answers.keys()) - unsure
                    if truth.get(life) != answers.get(life) and not self._untimed(life)
                }
                assert not wrong, f"as of {instant_ms}, true and answered: {wrong}"

    def _sample(self, truths: list[tuple[int, dict[Life, State]]]) -> list[tuple[int, dict[Life, State]]]:
        return self._random.sample(truths, min(4, len(truths)))

    def _untimed(self, life: Life) -> bool:
        """Whether AWS itself showed wrong times of this version."""
        went_ms = self.journal.gone.get(life)
        shown = went_ms is not None and any(first <= went_ms <= last for first, last in self.lags)
        return shown or life in self.put


def _state_of(row: VersionTruth) -> tuple[Life, State]:
    life = Life(row.image_name, row.version, row.creation_ms)
    return life, (row.last_modified_ms, row.status, row.failure_reason)
