"""Runs the real planner and acceptance rules over a changing collection, for every schedule of a scenario.

Must not know HTTP or DuckDB; collection.py and store.py stand in for what is said and kept there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle

from image_history.errors import InterruptedRunError
from image_history.extract.extractor import resumed
from image_history.extract.side_by_side import SideBySide, Turn
from image_history.extract.streams import StreamReading
from image_history.listing.request import PlanSettings, plan_stream
from image_history.listing.windows import Bounds
from image_history.model import ListingKind, Outcome, PlannedStream, Stop
from image_history.run.settle import Settler
from tests.properties.collection import STREAM, Change, Collection, Habits, Service
from tests.properties.store import Landing, Store, unlike

PAGE_SIZE = 2
_DAY_MS = 24 * 3600 * 1000
_QUIET_MS = 10_000
_SMALL = Bounds(after_pages=1, least_pages=2, pages_a_split=1)

Schedule = tuple[tuple[int, Change], ...]


class BrokenPromiseError(AssertionError):
    """A promise that a schedule broke."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Where schedules begin, and what may happen in them.

    A first sync knows `versions` versions if `synced`; `before` happens after it. Then the syncs of `runs`
    (True: full) are made, while up to `depth` changes of `kinds` fall between any of their calls. With `readers`
    full listings are read in windows: whose call is next, over and over.
    """

    name: str
    habits: Habits
    runs: tuple[bool, ...]
    kinds: tuple[str, ...]
    depth: int
    versions: int = 5
    synced: bool = True
    before: tuple[Change, ...] = ()
    lookback_ms: int = 0
    readers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Readers:
    """A Team that reads windows a call at a time, each reader when it is his turn. Without any, none are begun."""

    turns: tuple[int, ...]
    service: Service
    bounds: Bounds = _SMALL

    def free(self) -> bool:
        return bool(self.turns)

    def join(self, listing: SideBySide) -> None:
        holding: dict[int, Turn | None] = {}
        idle = 0
        for reader in cycle(self.turns):
            turn = holding.get(reader) or listing.take(wait=False)
            idle = 0 if turn is not None else idle + 1
            if idle == len(self.turns):
                return
            holding[reader] = None if turn is None else listing.step(turn, self.service)

    def leave(self, listing: SideBySide) -> None:
        """Nobody is left."""


@dataclass(slots=True)
class Tally:
    """What was explored. `late` counts schedules after which a quiet incremental run left something unseen."""

    schedules: int = 0
    late: int = 0
    broken: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Take another tally in."""
        self.schedules += other.schedules
        self.late += other.late
        self.broken += other.broken


@dataclass(slots=True)
class Side:
    """A collection with the store that is synced from it."""

    service: Service
    store: Store
    lookback_ms: int = 0
    readers: tuple[int, ...] = ()
    stop: Stop = field(default_factory=Stop)

    @classmethod
    def of(cls, other: Side) -> Side:
        """A copy, with a service of its own."""
        return cls(Service(other.collection.copy()), other.store.copy(), other.lookback_ms)

    @property
    def collection(self) -> Collection:
        return self.service.collection

    def sync(self, *, full: bool) -> None:
        """One run, begun again after a kill, loaded, and held against the truth."""
        listed = self._discover()
        created_ms = self.collection.made_ms if listed else None
        known = self.store.knowledge()
        if not listed and (known is None or not known.image_live):
            return
        settings = PlanSettings(
            PAGE_SIZE, lookback_ms=self.lookback_ms, reconcile_every_ms=_DAY_MS, full=full
        )
        planned = plan_stream(STREAM, known, settings, now_ms=self.service.date_ms, created_ms=created_ms)
        if self.readers and planned.request.kind is ListingKind.FULL:
            # The planner spares streams that are known, which have more to lose.
            planned = replace(planned, request=replace(planned.request, may_split=True))
        landing = Landing(image_created_ms=created_ms)
        while True:
            try:
                self._read(landing, planned)
                break
            except InterruptedRunError:
                continue
        self._load(landing)

    def _discover(self) -> bool:
        while True:
            try:
                self.service.before_call()
            except InterruptedRunError:
                continue
            return self.collection.exists

    def _read(self, landing: Landing, planned: PlannedStream) -> None:
        landed = {} if landing.mark is None else {STREAM: landing.mark}
        marks = tuple(resumed([planned], landed, tokens_live=True))
        while marks:
            for mark in marks:
                if mark.readable:
                    team = Readers(self.readers, self.service)
                    StreamReading(self.service, landing.put, self.stop, team).run(mark)
            read = landing.mark
            if read is None or read.outcome not in {Outcome.READ, Outcome.MISSING}:
                return
            findings = self.store.findings(landing, read)
            settler = Settler({STREAM.scope: self.service}, landing.put, self.stop, concurrency=1)
            marks = settler.settle([read], {STREAM: findings}, {STREAM.scope: len(self.store.live())})

    def _load(self, landing: Landing) -> None:
        before_ms = self.store.watermark_ms
        deleted = self.store.load(landing)
        truth = self.collection.versions
        for stored in deleted:
            existing = truth.get(stored.row.Version)
            if existing is not None and existing.CreationTime == stored.row.CreationTime:
                raise BrokenPromiseError(
                    f"version {stored.row.Version} is marked deleted ({stored.evidence}) and exists"
                )
        after_ms = self.store.watermark_ms
        if before_ms is not None and (after_ms is None or after_ms < before_ms):
            raise BrokenPromiseError("the watermark went back")
        t0_ms = landing.mark.t0_ms if landing.mark is not None else None
        if after_ms != before_ms and (after_ms is None or t0_ms is None or after_ms > t0_ms):
            raise BrokenPromiseError("the watermark went beyond T0")


def started(scenario: Scenario, store: Store | None = None) -> Side:
    """The scenario's collection and store as every schedule finds them; `store` is an empty one."""
    collection = Collection(scenario.habits)
    for number in range(scenario.versions):
        # Each second one shares its instant with the one before: ties fall across pages.
        collection.now_ms += 10_000 * (number % 2) - 1
        collection.apply(("create", 0))
        collection.apply(("touch", number + 1))
        collection.now_ms -= 1
    side = Side(Service(collection), Store() if store is None else store, scenario.lookback_ms)
    collection.now_ms += _QUIET_MS
    if scenario.synced:
        side.sync(full=True)
        collection.now_ms += _QUIET_MS
    for change in scenario.before:
        collection.apply(change)
    return side


def play(scenario: Scenario, start: Side, schedule: Schedule) -> tuple[list[Collection], bool]:
    """One schedule to its end; what each call of its runs met, and whether something was seen late.

    Raises BrokenPromiseError.
    """
    side = Side.of(start)
    for slot, change in schedule:
        side.service.changes.setdefault(slot, []).append(change)
    states: list[Collection] = []
    side.service.states = states
    side.readers = scenario.readers
    for full in scenario.runs:
        side.sync(full=full)
        side.collection.now_ms += _QUIET_MS
    side.service.states = None
    side.readers = ()
    side.service.changes.clear()
    return states, settle_down(side)


def settle_down(side: Side) -> bool:
    """Quiet runs: an incremental one, two full ones; whether the first left something unseen.

    Raises BrokenPromiseError if the store then differs from the truth, or if the second full run cost more
    than a listing.
    """
    collection = side.collection
    collection.hidden = frozenset()
    side.sync(full=False)
    late = bool(unlike(side.store, collection.versions.values()))
    collection.now_ms += _QUIET_MS
    side.sync(full=True)
    if side.store.live() != collection.versions:
        raise BrokenPromiseError(f"stored {sorted(side.store.live())}, true {sorted(collection.versions)}")
    collection.now_ms += _QUIET_MS
    side.service.lists = side.service.describes = 0
    side.sync(full=True)
    pages = max(1, -(-len(collection.versions) // PAGE_SIZE))
    if collection.exists and not collection.habits.eager and side.service.lists != pages:
        raise BrokenPromiseError(f"a quiet full run took {side.service.lists} list calls for {pages} pages")
    if side.service.describes:
        raise BrokenPromiseError(f"a quiet full run took {side.service.describes} describe calls")
    return late


def explore(scenario: Scenario) -> Tally:
    """Every schedule of the scenario, each once."""
    tally = Tally()
    start = started(scenario)
    waiting: list[Schedule] = [()]
    while waiting:
        schedule = waiting.pop()
        tally.schedules += 1
        try:
            states, late = play(scenario, start, schedule)
        except BrokenPromiseError as error:
            tally.broken.append(f"{scenario.name}: {error}; schedule {schedule}")
            continue
        tally.late += late
        if len(schedule) < scenario.depth:
            waiting += longer(scenario, schedule, states)
    return tally


def longer(scenario: Scenario, schedule: Schedule, states: list[Collection]) -> Iterator[Schedule]:
    """The schedule with one more change at its last call or a later one."""
    last = schedule[-1][0] if schedule else 0
    for slot in range(last, len(states)):
        for change in states[slot].possible(scenario.kinds):
            yield (*schedule, (slot, change))
