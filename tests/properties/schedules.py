"""Plays schedules of changes on the real planner, rules and warehouse, many schedules in one warehouse.

Each schedule has its own scope, and all of them take part in every run. Must not know HTTP, threads, or what
must hold of the stored rows (promises.py); collection.py simulates AWS.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import islice
from pathlib import Path

from image_history.aws.image_api import Access
from image_history.config import Config
from image_history.errors import InterruptedRunError
from image_history.extract.discovery import Discovery, discover
from image_history.extract.extractor import resumed
from image_history.extract.scopes import OpenScope, Target
from image_history.extract.streams import StreamReading
from image_history.landing.batch_writer import Cut
from image_history.landing.runs import LandedRun, Landing, proved_deletions, read_run
from image_history.landing.segment_writer import SegmentWriter
from image_history.landing.share import Share
from image_history.listing.pages import PageRead
from image_history.listing.request import ImageFilter
from image_history.model import Checkpoint, Outcome, PlannedStream, Scope, Stop, Stream
from image_history.run.planning import Opened, Planning, SyncOptions
from image_history.run.settle import Settler
from image_history.warehouse.findings import hold_against
from image_history.warehouse.loader import Knowledge, known, load_run
from image_history.warehouse.warehouse import Connection, WarehouseFile
from tests.properties.collection import IMAGE, OF_A_VERSION, START_MS, Change, Collection, Habits, Service
from tests.properties.promises import Judge, Judged, Stored, contradictions, look

_HOUR_MS = 3_600_000
_QUIET_MS = 10_000
_DAY = timedelta(days=1)
_AT_ONCE = 1_000
_SLOTS = 14

REGIONS = ("us-east-1", "eu-west-1")

Schedule = tuple[tuple[int, Change], ...]


class BrokenPromiseError(AssertionError):
    """A schedule broke a promise; raised where the first broken promise ends the play."""


@dataclass(frozen=True, slots=True)
class Run:
    """One sync. `full`, `allow`: its options (`--full`, `--allow-mass-delete`).

    `blind`: the warehouse is locked during planning, so the run plans from memory. `waits`: the warehouse is locked
    when the run should be loaded, so the next run loads it. `left`: a killed reading does not resume in the same
    run, and the next run loads what was read. `late`: a killed reading resumes after `resume_within` has passed.
    """

    full: bool = False
    allow: bool = False
    blind: bool = False
    waits: bool = False
    left: bool = False
    late: bool = False
    clock_ms: int = 0


@dataclass(frozen=True, slots=True)
class Backup:
    """Copies the warehouse."""


@dataclass(frozen=True, slots=True)
class Restore:
    """Restores the copy; the landing stays as it is."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Loses the landing with all pending runs in it."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Makes the same changes in every schedule."""

    changes: tuple[Change, ...]


Step = Run | Backup | Restore | Lost | Changes
PLAIN, FULL = Run(), Run(full=True)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where schedules begin, and what may happen in them.

    If `synced`, a first sync reads `versions` versions. Then the `steps` follow, while up to `depth` changes of
    `kinds` happen between any of their calls.
    """

    name: str
    habits: Habits
    steps: tuple[Step, ...]
    kinds: tuple[str, ...]
    depth: int
    versions: int = 5
    synced: bool = True
    lookback_ms: int = 0
    page_size: int = 2

    @property
    def shape(self) -> Scenario:
        """What schedules must have in common to be played in parallel in one warehouse."""
        steps = tuple(Changes(()) if isinstance(step, Changes) else step for step in self.steps)
        return Scenario("", Habits(), steps, (), 0, 0, self.synced, self.lookback_ms, self.page_size)


@dataclass(slots=True)
class Tally:
    """The number of schedules that were played, and the promises that they broke."""

    schedules: int = 0
    broken: list[str] = field(default_factory=list)

    def take(self, play: Play) -> None:
        """Count a schedule that was played."""
        self.schedules += 1
        if play.broken is not None:
            self.broken.append(f"{play.scenario.name}: {play.broken}; schedule {play.schedule}")

    def add(self, other: Tally) -> None:
        """Add another tally."""
        self.schedules += other.schedules
        self.broken += other.broken


@dataclass(slots=True)
class Play:
    """One schedule: its collection behind a service, its own scope, and the first promise that it broke."""

    scenario: Scenario
    scope: Scope
    schedule: Schedule
    service: Service
    judge: Judge
    broken: str | None = None
    chances: tuple[tuple[Change, ...], ...] = ()

    @property
    def stream(self) -> Stream:
        return Stream(self.scope, IMAGE)

    @property
    def collection(self) -> Collection:
        return self.service.collection

    def begin(self) -> None:
        """Make the changes of the schedule from the next call on."""
        self.service.calls = 0
        self.service.kinds = self.scenario.kinds
        self.service.chances = []
        for slot, change in self.schedule:
            self.service.changes.setdefault(slot, []).append(change)

    def change(self, number: int) -> None:
        """Make the changes of step `number` of the scenario."""
        step = self.scenario.steps[number]
        if isinstance(step, Changes):
            for change in step.changes:
                self.collection.apply(change)

    def end(self) -> None:
        """Stop all changes, and let lists show the true state."""
        self.service.kinds = ()
        self.service.changes.clear()
        self.chances = tuple(self.service.chances)
        self.collection.catch_up()

    def longer(self) -> Iterator[Schedule]:
        """Every schedule that adds one change at the last call of this one or a later call."""
        last = self.schedule[-1][0] if self.schedule else 0
        for slot, chances in enumerate(self.chances):
            if slot >= last:
                yield from ((*self.schedule, (slot, change)) for change in chances)

    def note(self, broken: str | None) -> None:
        """Keep the first broken promise."""
        if self.broken is None:
            self.broken = broken


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A run that is read and pending, with the scopes in which lists were wrong."""

    number: int
    run: LandedRun
    lagged: frozenset[Scope]
    allowed: bool


@dataclass(slots=True)
class Theatre:
    """Plays schedules of one shape in parallel, in one warehouse.

    `seen` gets every page and verdict, `after` gets the warehouse at the end; with `after`, the first broken
    promise ends the play.
    """

    shape: Scenario
    folder: Path
    plays: list[Play]
    seen: Callable[[PageRead], None] | None = None
    after: Callable[[Connection], None] | None = None
    _changing: bool = False
    _runs: int = 0
    _waiting: list[_Waiting] = field(default_factory=list)
    _remembered: Knowledge = field(default_factory=Knowledge)
    _last: dict[Stream, Checkpoint] = field(default_factory=dict)
    _stop: Stop = field(default_factory=Stop)
    _open: ExitStack = field(default_factory=ExitStack)
    _connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The open warehouse; it stays open until a copy is taken or restored."""
        if self._connection is None:
            self._connection = self._open.enter_context(self.warehouse.writing())
        return self._connection

    def close(self) -> None:
        """Close the warehouse's file."""
        self._connection = None
        self._open.close()

    @property
    def warehouse(self) -> WarehouseFile:
        return WarehouseFile(self.folder / "history.duckdb")

    @property
    def landing(self) -> Landing:
        return Landing(self.folder / "landing")

    def play(self) -> None:
        """Play everything, from the first sync until nothing changes any more."""
        self._quiet()
        if self.shape.synced:
            self.sync(FULL)
        for each in self.plays:
            each.begin()
        self._changing = True
        for number, step in enumerate(self.shape.steps):
            self._make(step, number)
        self._changing = False
        for each in self.plays:
            each.end()
        self._settle_down()

    def _settle_down(self) -> None:
        """Run quiet syncs: the store equals the truth after a plain and a full one, and a last full one is cheap."""
        self.sync(PLAIN)
        self.sync(Run(full=True, allow=True))
        for each in self.plays:
            each.note(each.judge.different())
            each.service.lists = each.service.describes = 0
        self.sync(FULL)
        for each in self.plays:
            each.note(_dear(each))
        for scope, broken in contradictions(self.connection):
            self._of(scope).note(broken)
        if self.after is not None:
            self._require_promises()
            self.after(self.connection)

    def _require_promises(self) -> None:
        for each in self.plays:
            if each.broken is not None:
                raise BrokenPromiseError(f"{each.scenario.name}: {each.broken}; schedule {each.schedule}")

    def _of(self, scope: Scope) -> Play:
        if not scope.account_id.isdigit():
            return self.plays[0]
        return self.plays[2 * int(scope.account_id) + REGIONS.index(scope.region)]

    def _quiet(self) -> None:
        for each in self.plays:
            each.collection.now_ms += _QUIET_MS

    def _make(self, step: Step, number: int) -> None:
        if isinstance(step, Run):
            self.sync(step)
        elif isinstance(step, Changes):
            for each in self.plays:
                each.change(number)
        elif isinstance(step, Backup):
            self.close()
            shutil.copyfile(self.warehouse.path, self.folder / "backup.duckdb")
        elif isinstance(step, Restore):
            self.close()
            shutil.copyfile(self.folder / "backup.duckdb", self.warehouse.path)
            for each in self.plays:
                each.judge.restored()
        else:
            shutil.rmtree(self.landing.folder)
            self._waiting.clear()
            self._remembered = Knowledge()

    def sync(self, run: Run) -> None:
        """Run one sync of all schedules, with the same parts as run/pipeline.py."""
        self._runs += 1
        if self._waiting and not run.blind:
            self._load()
        knows = self._knowledge(run)
        planning = Planning(
            self._config, SyncOptions(full=run.full), knows.streams, "the model's", knows.newest
        )
        for each in self.plays:
            each.service.killed = each.service.lagged = False
        opened = Opened(
            tuple(OpenScope(_TARGET, each.scope, each.service, _found(each)) for each in self.plays), ()
        )
        local_ms = START_MS + self._runs * _HOUR_MS + run.clock_ms
        with self.landing.locked():
            landed = self.landing.create(*planning.plan(opened, "the model", now_ms=local_ms))
            landed = self._read(landed, run)
            lagged = frozenset(each.scope for each in self.plays if each.service.lagged)
            self._waiting.append(_Waiting(self._runs, self.landing.close(landed), lagged, run.allow))
            if not run.waits:
                self._load()
        self._quiet()

    @property
    def _config(self) -> Config:
        return Config(
            warehouse=self.warehouse.path,
            page_size=self.shape.page_size,
            lookback=timedelta(milliseconds=self.shape.lookback_ms),
            reconcile_every=_DAY,
        )

    def _knowledge(self, run: Run) -> Knowledge:
        if run.blind:
            return self._remembered
        return known(self.connection)

    def _read(self, run: LandedRun, how: Run) -> LandedRun:
        """Read and settle until nothing is left, as run/listing.py does."""
        planned = {each.stream: each for each in run.plan.streams}
        due = {each.stream: list(resumed([each], {}, tokens_live=True)) for each in planned.values()}
        while True:
            with self._writer(run) as writer:
                for stream, marks in due.items():
                    self._pages(self._of(stream.scope), marks, planned, writer, how)
            current = read_run(run.folder)
            waiting = [
                mark
                for mark in current.checkpoints.values()
                if mark.outcome in {Outcome.READ, Outcome.MISSING}
                and not (how.left and self._of(mark.stream.scope).service.killed)
            ]
            if not waiting:
                return current
            again = self._settle(current, waiting, how)
            due = {mark.stream: [mark] for mark in again}
            run = read_run(run.folder)

    def _writer(self, run: LandedRun) -> SegmentWriter:
        return SegmentWriter(run, cut=Cut(1_000_000, 1_000_000.0), costs=dict)

    def _sink(self, writer: SegmentWriter) -> Callable[[PageRead], None]:
        def put(page: PageRead) -> None:
            self._last[page.checkpoint.stream] = page.checkpoint
            writer.put(page)
            if self.seen is not None:
                self.seen(page)

        return put

    def _pages(
        self,
        play: Play,
        marks: Sequence[Checkpoint],
        planned: Mapping[Stream, PlannedStream],
        writer: SegmentWriter,
        how: Run,
    ) -> None:
        """Read a stream to its end; a kill is followed by another try, unless the run is left."""
        going = list(marks)
        stream, last = going[0].stream, self._last
        last.pop(stream, None)
        while going and going[0].readable:
            try:
                StreamReading(play.service, self._sink(writer), self._stop).run(going[0])
            except InterruptedRunError:
                if how.left:
                    return
                if how.late:
                    play.collection.now_ms += 24 * _HOUR_MS
                landed = {stream: last[stream]} if stream in last else {stream: going[0]}
                going = list(resumed([planned[stream]], landed, tokens_live=not how.late))
            else:
                return

    def _settle(self, run: LandedRun, waiting: Sequence[Checkpoint], how: Run) -> tuple[Checkpoint, ...]:
        held = hold_against(self.connection, run)
        services = {each.scope: each.service for each in self.plays}
        with self._writer(run) as writer:
            settler = Settler(
                services, self._sink(writer), self._stop, concurrency=1, allow_mass_delete=how.allow
            )
            return settler.settle(waiting, held.findings, held.live, proved_deletions(run))

    def _part(self, run: LandedRun) -> Share:
        """Every second scope that is complete, as run/visible.py loads it while others are read."""
        marks = [(play.scope, run.checkpoints.get(play.stream)) for play in self.plays[::2]]
        return Share(scopes=frozenset(scope for scope, mark in marks if mark is not None and mark.finished))

    def _load(self) -> None:
        """Load pending runs in the order of the local clock, which may be wrong, and check each against the truth."""
        newest: dict[Scope, int] = {}
        for each in sorted(self._waiting, key=lambda waiting: waiting.run.plan.run_id):
            if each.number % 2:
                load_run(self.connection, each.run, self._part(each.run))
            load_run(self.connection, each.run)
            stored = look(self.connection, each.run.plan.run_id)
            self._remembered = known(self.connection)
            self.landing.remove(each.run)
            t0s = {plan.scope: plan.t0_ms for plan in each.run.plan.scopes}
            for play in self.plays:
                judged = Judged(
                    each.run.checkpoints.get(play.stream),
                    stored.get(play.scope, Stored()),
                    images_t0_ms=t0s[play.scope],
                    lagged=play.scope in each.lagged,
                    overtaken=each.number < newest.get(play.scope, 0),
                    allowed=each.allowed,
                )
                play.note(play.judge.broken(judged))
                if judged.outcome in {Outcome.COMPLETE, Outcome.GONE}:
                    newest[play.scope] = max(each.number, newest.get(play.scope, 0))
            if self.after is not None:
                self._require_promises()
        self._waiting.clear()


_TARGET = Target(Access(), "us-east-1", ImageFilter())


def _found(play: Play) -> Discovery:
    """The scope's list of images; a kill is followed by another try."""
    while True:
        try:
            return discover(play.service, ImageFilter())
        except InterruptedRunError:
            continue


def _dear(play: Play) -> str | None:
    """A quiet full run needs one list call for each page, and no Describe."""
    collection, service = play.collection, play.service
    pages = max(1, -(-len(collection.versions) // play.scenario.page_size))
    if collection.exists and not collection.habits.eager and service.lists != pages:
        return f"a quiet full run took {service.lists} list calls for {pages} pages"
    return f"a quiet full run took {service.describes} describe calls" if service.describes else None


def begun(scenario: Scenario) -> Collection:
    """The scenario's collection as it is at the start of every schedule."""
    collection = Collection(scenario.habits)
    for number in range(scenario.versions):
        # Every second version has the times of the version before, so that a page can end between equal times.
        collection.now_ms += 10_000 * (number % 2) - 1
        collection.apply(("create", 0))
        collection.apply(("touch", number + 1))
        collection.now_ms -= 1
    return collection


def play(
    chosen: Sequence[tuple[Scenario, Schedule]],
    folder: Path,
    *,
    seen: Callable[[PageRead], None] | None = None,
    after: Callable[[Connection], None] | None = None,
) -> list[Play]:
    """Play schedules of scenarios of one shape to their end, in a new warehouse; see `Theatre`."""
    plays = []
    for number, (scenario, schedule) in enumerate(chosen):
        collection = begun(scenario)
        scope = Scope(f"{number // 2:012d}", REGIONS[number % 2])
        plays.append(Play(scenario, scope, schedule, Service(collection), Judge(collection)))
    with tempfile.TemporaryDirectory(dir=folder) as name:
        theatre = Theatre(chosen[0][0].shape, Path(name), plays, seen, after)
        shutil.copyfile(_new_warehouse(folder), theatre.warehouse.path)
        try:
            theatre.play()
        finally:
            theatre.close()
    return plays


def _new_warehouse(folder: Path) -> Path:
    """An empty warehouse, created once for each folder."""
    file = WarehouseFile(folder / "empty.duckdb")
    if not file.path.exists():
        with file.writing():
            pass
    return file.path


def shapes(scenarios: Iterable[Scenario]) -> list[list[Scenario]]:
    """Group the scenarios that can be played in parallel."""
    found: dict[Scenario, list[Scenario]] = {}
    for scenario in scenarios:
        found.setdefault(scenario.shape, []).append(scenario)
    return list(found.values())


def explore(scenarios: Sequence[Scenario], folder: Path) -> Tally:
    """Play every schedule of scenarios of one shape, each once, in warehouses in this folder."""
    tally = Tally()
    level: list[tuple[Scenario, Schedule]] = [(scenario, ()) for scenario in scenarios]
    while level:
        following: list[tuple[Scenario, Schedule]] = []
        rest = iter(level)
        while part := list(islice(rest, _AT_ONCE)):
            for each in play(part, folder):
                tally.take(each)
                if len(each.schedule) < each.scenario.depth:
                    following += ((each.scenario, schedule) for schedule in each.longer())
        level = following
    return tally


def drawn(scenarios: Sequence[Scenario], folder: Path, rng: random.Random, count: int) -> Tally:
    """Play `count` random schedules of scenarios of one shape. A change of a missing version does nothing."""
    tally = Tally()
    for each in play(some(scenarios, rng, count), folder):
        tally.take(each)
    return tally


def some(scenarios: Sequence[Scenario], rng: random.Random, count: int) -> list[tuple[Scenario, Schedule]]:
    """Choose `count` random schedules."""
    chosen: list[tuple[Scenario, Schedule]] = []
    for number in range(count):
        scenario = scenarios[number % len(scenarios)]
        most = max(2, scenario.depth)
        slots = sorted(rng.randrange(_SLOTS * most // 2) for _ in range(rng.randint(0, most)))
        chosen.append((scenario, tuple((slot, _any_change(scenario, rng)) for slot in slots)))
    return chosen


def _any_change(scenario: Scenario, rng: random.Random) -> Change:
    kind = rng.choice(scenario.kinds)
    if kind == "recreate":
        return kind, rng.choice((1, 3))
    # A change that concerns no single version has the number 0, as in `Collection.possible`.
    return kind, rng.randint(1, scenario.versions + 3) if kind in OF_A_VERSION else 0
