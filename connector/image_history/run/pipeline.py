"""Runs the stages of a sync: leftover runs, scopes and plan, reading, load, publication, report.

Only decides the order of the stages; must not know boto3, SQL, or how a report is printed.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from image_history.config import Config
from image_history.errors import ConnectorError, WarehouseLockedError
from image_history.extract.expand import find_targets
from image_history.extract.scopes import Target, threads_of_a_scope
from image_history.hints.heard import Heard
from image_history.landing.mark import Mark
from image_history.landing.memory import LedTo, Memory
from image_history.landing.runs import LandedRun, Landing
from image_history.landing.share import EVERYTHING, Share
from image_history.model import HintsReport, RunReport, Stop
from image_history.publish.stage import publish_all
from image_history.run.details import Detailing
from image_history.run.hearing import Hearing, knowledge_of, memory_of
from image_history.run.leftovers import (
    in_order,
    to_continue,
    unloaded,
    unloaded_while_locked,
    unloaded_without_a_file,
)
from image_history.run.listing import Arrival, Progress, Reading, Silent
from image_history.run.planning import Opening, Planning, SyncOptions
from image_history.run.visible import Rhythm, Visible
from image_history.telemetry import note, observed, span
from image_history.warehouse.findings import Held, hold_against
from image_history.warehouse.identity import identify, newest_load, still_heard, warehouse_id
from image_history.warehouse.loader import (
    Knowledge,
    Loaded,
    known,
    known_streams,
    load_run,
    loaded_runs,
    report,
)
from image_history.warehouse.pending import pending_details
from image_history.warehouse.warehouse import Connection, WarehouseFile, now_ms

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Progress", "Silent", "SyncOptions", "sync"]

Result = TypeVar("Result")

logger = logging.getLogger(__name__)

_PLANNING_WAIT_SECONDS = 1.0


def sync(
    config: Config,
    *,
    options: SyncOptions | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
    rhythm: Rhythm | None = None,
) -> RunReport:
    """Read what changed at AWS and load it; continue an unfinished run if there is one.

    A long run is loaded in parts, as often as `rhythm` says: the scopes that were read, and the details so far. Each
    part becomes visible in one transaction with its rows, watermarks, coverage and the run's record so far.
    Raises a ConnectorError with an `exit_code`; everything that was fetched by then is in the landing folder and is
    used by the next sync.
    """
    landing = Landing(config.landing_folder)
    WarehouseFile(config.warehouse).require_writable()
    if not landing.folder.exists():
        # If the warehouse is refused, no landing folder is made beside it.
        _stored_id(config, landing)
    with landing.locked():
        requested = options or SyncOptions()
        mark = landing.bind(_stored_id(config, landing), config.warehouse)
        run = _Sync(
            config, requested, progress or Silent(), stop or Stop(), landing, mark, rhythm=rhythm or Rhythm()
        )
        return observed(run.run)


def _stored_id(config: Config, landing: Landing) -> str | None:
    """The id of the warehouse; None if there is no file yet, if it is empty, or if another program holds it.

    In the last case the id in the landing's mark is used, and the load compares it with the file. A landing without a
    mark has no such id: WarehouseLockedError.
    """
    if not config.warehouse.exists():
        return None
    marked = landing.mark() is not None
    patience = _PLANNING_WAIT_SECONDS if marked else config.lock_wait.total_seconds()
    try:
        with WarehouseFile(config.warehouse, patience).current() as connection:
            return warehouse_id(connection)
    except WarehouseLockedError:
        if not marked:
            raise
        return None


@dataclass(slots=True)
class _Sync:
    """One sync while it holds the landing folder."""

    config: Config
    options: SyncOptions
    progress: Progress
    stop: Stop
    landing: Landing
    mark: Mark
    rhythm: Rhythm
    started: float = field(default_factory=time.monotonic)
    lock_seconds: float = 0.0
    waiting: tuple[LandedRun, ...] = ()
    stored: Knowledge = field(default_factory=Knowledge)
    remembered: bool = False
    resumed: bool = False
    # The run that is read in this sync, once it exists.
    own: str | None = None
    # What the landing remembers of hints: no other process changes it while the folder is locked.
    memory: Memory | None = None
    details_left: int = 0
    visible: Visible = field(init=False)
    # A part is loaded on a thread of its own, and a process can open the file only once at a time.
    _opening: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.visible = Visible(self._load_part, self.rhythm)

    @property
    def warehouse(self) -> WarehouseFile:
        return WarehouseFile(self.config.warehouse, self.config.lock_wait.total_seconds(), for_sync=True)

    def run(self) -> RunReport:
        wanted = find_targets(self.config, self.stop)
        selection = self.options.selection(wanted)
        unfinished, self.waiting = self._leftovers(selection)
        self.resumed, self.own = (
            unfinished is not None,
            None if unfinished is None else unfinished.plan.run_id,
        )
        self.memory = memory_of(self.config, self.landing, self.mark)
        knowledge = self._knowledge()
        hearing = Hearing.of(self.config, self.options, self.stop)
        try:
            done = self._read_and_load(wanted, selection, unfinished, knowledge, hearing)
        except ConnectorError:
            # Make the hints available to the next sync at once.
            hearing.release()
            raise
        self.progress.stage("publishing")
        with span("publish"):
            publications = publish_all(self.config, stop=self.stop)
        return replace(done, publications=publications)

    def _read_and_load(
        self,
        wanted: Sequence[Target],
        selection: str,
        unfinished: LandedRun | None,
        knowledge: Knowledge,
        hearing: Hearing,
    ) -> RunReport:
        self.progress.stage("scopes")
        reading = Reading(
            self.config,
            self._hold_against,
            self._try_against,
            self.visible,
            self.progress,
            self.stop,
            threads=threads_of_a_scope(self.config, len(wanted)),
            now_ms=now_ms(),
            allow_mass_delete=self.options.allow_mass_delete,
        )
        arrivals = self._arrivals(wanted, selection, unfinished, knowledge, hearing)
        current = reading.run(arrivals)
        if self.config.details:
            current = self._detailed(current, reading)
        return self._finish(current, hearing)

    def _leftovers(self, selection: str) -> tuple[LandedRun | None, tuple[LandedRun, ...]]:
        """The unfinished run to continue, if any, and the other runs, whose rows are still to be loaded."""
        self.landing.sweep()
        if self.options.fresh:
            for run_id in self.landing.forget_unfinished(self.mark):
                logger.warning("unfinished_run_forgotten", extra={"run_id": run_id})
        runs = in_order(self._without_loaded(self.landing.own_runs(self.mark)))
        current = to_continue(runs, selection, self.config, self.options)
        return current, tuple(run for run in runs if run is not current)

    def _without_loaded(self, runs: Sequence[LandedRun]) -> Sequence[LandedRun]:
        """Remove the folders of runs that the warehouse holds: a sync was killed between commit and clean-up.

        The others are returned, with the marks that leftovers.py gives them.
        """
        if not self.config.warehouse.exists():
            return unloaded_without_a_file(runs)
        if not runs:
            return runs
        try:
            with self.warehouse.current(wait_seconds=_PLANNING_WAIT_SECONDS) as connection:
                left = unloaded(connection, runs, self.options)
        except WarehouseLockedError:
            return unloaded_while_locked(runs, self.options)
        kept = {run.plan.run_id for run in left}
        for run in runs:
            if run.plan.run_id not in kept:
                self.landing.remove(run)
        return left

    def _knowledge(self) -> Knowledge:
        """What is known of the streams, after the waiting runs are loaded.

        While the warehouse is locked, the copy in the landing folder is used.
        """
        try:
            if self.waiting:
                self._load(self.waiting, patient=False)
            if not self.config.warehouse.exists():
                return Knowledge()
            with self.warehouse.current(wait_seconds=_PLANNING_WAIT_SECONDS) as connection:
                return knowledge_of(connection, self.config, self.memory, unfinished=self.own)
        except WarehouseLockedError as error:
            logger.warning("warehouse_locked", extra={"action": "planning from memory", "reason": str(error)})
            remembered = self.landing.remembered(self.mark)
            if remembered is None:
                return Knowledge()
            streams, memory = remembered
            accounts = {(each.access, each.region): each.account_id for each in memory.accounts}
            return Knowledge(known_streams(streams), accounts, memory.newest)

    def _arrivals(
        self,
        wanted: Sequence[Target],
        selection: str,
        unfinished: LandedRun | None,
        knowledge: Knowledge,
        hearing: Hearing,
    ) -> Iterator[Arrival]:
        """Open the scopes; as they answer, plan what to read of them, and write the plan before anything is read."""
        run = unfinished
        planned = frozenset(plan.scope for plan in run.plan.scopes) if run is not None else frozenset()
        accounts = {**knowledge.accounts, **({} if run is None else run.plan.accounts)}
        opening = Opening(wanted, self.config, self.options, accounts, self.stop, planned)
        planning = Planning(
            self.config,
            self.options,
            knowledge.streams,
            self.mark.warehouse_id,
            knowledge.newest,
            rest=hearing.rest(knowledge.confirmed, knowledge.heard),
        )
        for opened in opening.waves():
            hearing.opened(opened)
            new = replace(opened, scopes=tuple(each for each in opened.scopes if each.scope not in planned))
            if run is None:
                run = self.landing.create(*planning.plan(new, selection, now_ms=now_ms()))
            elif not run.plan.last:
                run = self.landing.extend(run, *planning.part(new, run.plan))
            self.own = run.plan.run_id
            note(run_id=self.own)
            yield Arrival(run, {each.scope: each.calls for each in opened.scopes})

    def _detailed(self, run: LandedRun, reading: Reading) -> LandedRun:
        """Read the details that are due in the scopes that were not given up.

        If a load is due, the scopes that were read are loaded first.
        """
        self.progress.stage("details")
        if self.visible.details_are_due() and (whole := self.visible.whole()):
            self.visible.attempt(lambda: self.visible.part(run, whole))
        every = self.config.details_every
        detailing = Detailing(
            self.config,
            {scope: calls for scope, calls in reading.calls.items() if scope not in reading.lost},
            lambda now: self._ask_warehouse(now, lambda connection: pending_details(connection, now, every)),
            self.stop,
            self.visible,
            threads=reading.threads,
        )
        detailed = detailing.run(run)
        self.details_left = detailing.left
        return detailed

    def _hold_against(self, run: LandedRun) -> Held:
        return self._ask_warehouse(run, lambda connection: hold_against(connection, run))

    def _try_against(self, run: LandedRun) -> Held:
        """As `_hold_against`, for a part of the run: waits one second at most for a locked warehouse."""
        with self._opening:
            return self._compare(
                self._with_patience(_PLANNING_WAIT_SECONDS), lambda connection: hold_against(connection, run)
            )

    def _ask_warehouse(self, run: LandedRun, ask: Callable[[Connection], Result]) -> Result:
        """Query the warehouse. If another process holds it, close the run as it is and raise WarehouseLockedError."""
        self._load_what_waits()
        try:
            with self._opening:
                return self._compare(self.warehouse, ask)
        except WarehouseLockedError:
            self.landing.close(run)
            raise

    def _compare(self, warehouse: WarehouseFile, ask: Callable[[Connection], Result]) -> Result:
        if not self.config.warehouse.exists():
            with warehouse.writing() as connection:
                logger.info("warehouse_made", extra={"path": str(self.config.warehouse)})
                return ask(connection)
        with warehouse.current() as connection:
            return ask(connection)

    def _with_patience(self, seconds: float) -> WarehouseFile:
        return replace(self.warehouse, lock_wait_seconds=min(seconds, self.warehouse.lock_wait_seconds))

    def _load_what_waits(self) -> None:
        """Load the earlier runs that wait. If the warehouse is locked, go on without.

        The load later finds versions that this run lacks and an earlier one has seen.
        """
        try:
            if left := self._left():
                self._load(left, patient=False)
        except WarehouseLockedError as error:
            logger.info("warehouse_locked", extra={"action": "settling before a load", "reason": str(error)})

    def _left(self) -> list[LandedRun]:
        """The earlier runs that could not be loaded yet."""
        return [earlier for earlier in self.waiting if earlier.folder.exists()]

    def _finish(self, run: LandedRun, hearing: Hearing) -> RunReport:
        self.progress.stage("loading")
        current = self.landing.close(run)
        loaded = self._load([*self._left(), current], replace(self.visible.last, ends=True), hearing=hearing)
        done = report(
            loaded[-1],
            duration_seconds=time.monotonic() - self.started,
            lock_seconds=self.lock_seconds,
            resumed=self.resumed,
        )
        return replace(
            done,
            pending_runs=len(self.waiting),
            hints=self._settle_hints(hearing, loaded[-1]),
            details_left=self.details_left,
        )

    def _settle_hints(self, hearing: Hearing, loaded: Loaded) -> HintsReport | None:
        """Acknowledge the hints that the run settled.

        No hint is acknowledged if the run's plan rests on a state that the warehouse lacks, or if the landing could
        not remember the load: that memory shows later that a backup lacks what the hints were about.
        """
        confirmed = self.stored.confirmed if loaded.founded and self.remembered else None
        return hearing.settle(confirmed, self.stored.streams, loaded.run.plan)

    def _load_part(self, run: LandedRun, share: Share) -> int:
        """Load a part of the run, after the earlier runs that wait; return when, UTC epoch milliseconds."""
        self._load_what_waits()
        with span("load", runs=1), self._writing(_PLANNING_WAIT_SECONDS) as connection:
            return load_run(connection, run, replace(share, going_on=self.landing.run_ids())).loaded_ms

    def _load(
        self,
        runs: Sequence[LandedRun],
        share: Share = EVERYTHING,
        *,
        patient: bool = True,
        hearing: Hearing | None = None,
    ) -> list[Loaded]:
        """Load the runs in the given order, each in its own transaction, and remove their folders.

        `share` says what of the last run is new; `hearing` is set if that is this sync's own run. Returns the runs
        that were not loaded before. A run that an earlier process loaded and could not remove is only removed.
        """
        wait_seconds = math.inf if patient else _PLANNING_WAIT_SECONDS
        with span("load", runs=len(runs)), self._writing(wait_seconds) as connection:
            done = loaded_runs(connection, [run.plan.run_id for run in runs])
            # Before the first load: the memory that is written afterwards no longer shows that a backup was restored.
            heard = still_heard(connection, self.memory, besides=self.own)
            going_on = self.landing.run_ids()
            shares = [*[EVERYTHING] * (len(runs) - 1), share]
            loaded = [
                load_run(connection, run, replace(each, going_on=going_on))
                for run, each in zip(runs, shares, strict=True)
                if run.plan.run_id not in done
            ]
            streams = connection.table("load/known_streams")
            confirmed = self.config.hints.rests_for is not None
            self.stored = known(connection, confirmed=confirmed, streams=streams)
            if hearing is not None:
                # The listings of a run that was resumed may be older than the hints that this sync has heard.
                before = newest_load(connection, besides=None if self.resumed else self.own)
                since_ms = 0 if before is None else before.loaded_ms
                heard = hearing.heard(heard, runs[-1].plan, since_ms=since_ms)
        self._remember(streams, heard)
        for run in runs:
            self.landing.remove(run)
        return loaded

    def _remember(self, streams: pa.Table, heard: Sequence[Heard]) -> None:
        """Have the landing remember what the warehouse knows now. An error is logged."""
        newest = self.stored.newest
        memory = Memory(
            self.mark.warehouse_id,
            None if newest is None else newest.run_id,
            tuple(LedTo(*access, account_id) for access, account_id in self.stored.accounts.items()),
            None if newest is None else newest.loaded_ms,
            tuple(heard),
        )
        self.remembered = self.landing.remember(streams, memory)
        if self.remembered:
            self.memory = memory

    @contextmanager
    def _writing(self, wait_seconds: float) -> Iterator[Connection]:
        """The warehouse, open for writing. LandingError if it is not the landing's warehouse."""
        with self._opening, self._with_patience(wait_seconds).writing() as connection:
            opened = time.monotonic()
            self._require_same(connection)
            yield connection
            self.lock_seconds += time.monotonic() - opened

    def _require_same(self, connection: Connection) -> None:
        """LandingError if the file is not the landing's warehouse: the file was replaced meanwhile."""
        stored = warehouse_id(connection)
        if stored is None:
            identify(connection, self.mark.warehouse_id)
        self.landing.bind(stored, self.config.warehouse)
