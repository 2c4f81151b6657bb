"""Wires a run: scopes, plan, extract, land, load, report.

Decides the order of the stages and nothing else; must not know boto3, SQL, or how a report is printed.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Protocol

import pyarrow as pa

from connector.acceptance import PageRead
from connector.config import Config
from connector.errors import (
    AccessDeniedError,
    ConfigError,
    ConnectorError,
    CredentialsError,
    FatalError,
    SkippableError,
    SourceError,
    TransientError,
    WarehouseLockedError,
)
from connector.extract.discover import Discovery
from connector.extract.extractor import Extractor, resumed, together
from connector.extract.plan import PlanSettings, plan_stream
from connector.extract.scopes import OpenScope, Target, open_scope, require_distinct, targets
from connector.landing import LandedRun, Landing, RunPlan, ScopePlan
from connector.load.loader import Loaded, knowledge, known_streams, load_run, loaded_runs, report
from connector.load.warehouse import Connection, WarehouseFile, now_ms
from connector.model import (
    Calls,
    Failure,
    ListingKind,
    Outcome,
    PlannedStream,
    RunReport,
    Scope,
    Stop,
    Stream,
    StreamKnowledge,
)
from connector.segment_writer import Cut, SegmentWriter
from connector.transform import empty_images, image_table

logger = logging.getLogger(__name__)

_PLANNING_WAIT_SECONDS = 1.0


class Progress(Protocol):
    """Hears how a run gets on; called from many threads."""

    def stage(self, name: str) -> None:
        """A stage begins: scopes, listing, loading."""

    def planned(self, streams: int) -> None:
        """So many streams are left to read."""

    def page(self, page: PageRead) -> None:
        """A page was read."""


class Silent:
    """A Progress that nobody watches."""

    def stage(self, name: str) -> None:
        """Nothing."""

    def planned(self, streams: int) -> None:
        """Nothing."""

    def page(self, page: PageRead) -> None:
        """Nothing."""


@dataclass(frozen=True, slots=True)
class SyncOptions:
    """What one sync is asked for beside its configuration.

    `images` are globs over image names, `scopes` are ACCOUNT/REGION; empty means all. `fresh` drops
    unfinished runs instead of continuing one.
    """

    full: bool = False
    images: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    fresh: bool = False

    def selection(self, wanted: Sequence[Target]) -> str:
        """Identifies what is asked for: only an unfinished run that asked for the same is continued."""
        parts = [repr((self.full, sorted(self.images), sorted(self.scopes))), *sorted(map(repr, wanted))]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def sync(
    config: Config,
    *,
    options: SyncOptions | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> RunReport:
    """Read what changed at AWS and load it; continue an unfinished run if there is one.

    Rows, watermarks, coverage and the run's record become visible in one transaction. Raises a
    ConnectorError whose `exit_code` says what to do; whatever had been fetched by then is in the landing
    folder and is used by the next sync.
    """
    landing = Landing(config.landing_folder)
    WarehouseFile(config.warehouse).require_writable()
    with landing.locked():
        run = _Sync(config, options or SyncOptions(), progress or Silent(), stop or Stop(), landing)
        return run.run()


@dataclass(slots=True)
class _Sync:
    """One sync while it holds the landing folder."""

    config: Config
    options: SyncOptions
    progress: Progress
    stop: Stop
    landing: Landing
    started: float = field(default_factory=time.monotonic)
    lock_seconds: float = 0.0

    @property
    def warehouse(self) -> WarehouseFile:
        return WarehouseFile(self.config.warehouse, self.config.lock_wait.total_seconds())

    def run(self) -> RunReport:
        wanted = targets(self.config.accounts)
        selection = self.options.selection(wanted)
        unfinished, waiting = self._leftovers(selection)
        known = self._knowledge(waiting)
        self.progress.stage("scopes")
        if unfinished is None:
            scopes, unreadable = self._open(wanted)
            current = self._new_run(selection, scopes, unreadable, known)
        else:
            current = unfinished
            scopes = self._reopen(wanted, unfinished)
        self.stop.check()
        self._extract(current, scopes)
        return self._finish(current, waiting, resumed=unfinished is not None)

    def _leftovers(self, selection: str) -> tuple[LandedRun | None, tuple[LandedRun, ...]]:
        """The unfinished run to continue, if any, and the runs whose rows wait to be loaded."""
        self.landing.sweep()
        if self.options.fresh:
            for run_id in self.landing.forget_unfinished():
                logger.warning("unfinished_run_forgotten", extra={"run_id": run_id})
        runs = self._without_loaded(self.landing.runs())
        unfinished = [run for run in runs if not run.finished and run.plan.selection == selection]
        current = unfinished[-1] if unfinished else None
        return current, tuple(run for run in runs if run is not current)

    def _without_loaded(self, runs: Sequence[LandedRun]) -> Sequence[LandedRun]:
        """Remove the folders of runs that the warehouse holds: a kill came between commit and clean-up."""
        if not runs or not self.config.warehouse.exists():
            return runs
        try:
            with self.warehouse.reading(wait_seconds=_PLANNING_WAIT_SECONDS) as connection:
                loaded = loaded_runs(connection, [run.plan.run_id for run in runs])
        except WarehouseLockedError:
            return runs
        for run in runs:
            if run.plan.run_id in loaded:
                self.landing.remove(run)
        return [run for run in runs if run.plan.run_id not in loaded]

    def _knowledge(self, waiting: Sequence[LandedRun]) -> Mapping[Stream, StreamKnowledge]:
        """What is known of the streams, after loading what waits; while locked, what was known lately."""
        try:
            if waiting:
                self._load(waiting, wait_seconds=_PLANNING_WAIT_SECONDS)
            if not self.config.warehouse.exists():
                return {}
            with self.warehouse.reading(wait_seconds=_PLANNING_WAIT_SECONDS) as connection:
                return known_streams(connection)
        except WarehouseLockedError as error:
            logger.warning("warehouse_locked", extra={"action": "planning from memory", "reason": str(error)})
            remembered = self.landing.remembered()
            return {} if remembered is None else knowledge(remembered)

    def _open(self, wanted: Sequence[Target]) -> tuple[list[OpenScope], tuple[Failure, ...]]:
        """Open every wanted scope; one that fails is reported, and all failing ends the run."""
        opened: list[OpenScope] = []
        failures: list[Failure] = []
        errors: list[ConnectorError] = []
        attempts = together([lambda t=target: self._try_open(t) for target in wanted], len(wanted), self.stop)
        self.stop.check()
        for target, attempt in zip(wanted, attempts, strict=True):
            if isinstance(attempt, OpenScope):
                opened.append(attempt)
            else:
                errors.append(attempt)
                failures.append(_failure(str(target), attempt))
        if errors and not opened:
            raise _fatal(errors[0]) from errors[0]
        require_distinct(opened)
        return self._selected(opened), tuple(failures)

    def _try_open(self, target: Target) -> OpenScope | ConnectorError:
        try:
            opened = open_scope(target, self.config, self.stop)
            return replace(opened, discovery=opened.images())
        except ConfigError:
            raise
        except (TransientError, SkippableError, FatalError) as error:
            return error

    def _selected(self, opened: list[OpenScope]) -> list[OpenScope]:
        if not self.options.scopes:
            return opened
        chosen = [scope for scope in opened if str(scope.scope) in self.options.scopes]
        missing = set(self.options.scopes) - {str(scope.scope) for scope in chosen}
        if missing:
            there = ", ".join(sorted(str(scope.scope) for scope in opened))
            raise ConfigError(f"No scope {', '.join(sorted(missing))} is configured; there are: {there}.")
        return chosen

    def _reopen(self, wanted: Sequence[Target], run: LandedRun) -> list[OpenScope]:
        """Open the scopes of an unfinished run again; its plan already knows their images."""
        planned = {plan.scope for plan in run.plan.scopes}
        scopes = [open_scope(target, self.config, self.stop) for target in wanted]
        return [scope for scope in scopes if scope.scope in planned]

    def _new_run(
        self,
        selection: str,
        scopes: Sequence[OpenScope],
        unreadable: tuple[Failure, ...],
        known: Mapping[Stream, StreamKnowledge],
    ) -> LandedRun:
        discoveries = {opened.scope: self._narrowed(opened.images()) for opened in scopes}
        if self.options.images and not any(found.images for found in discoveries.values()):
            raise ConfigError(f"No image matches {', '.join(self.options.images)} in the configured scopes.")
        started_at_ms = now_ms()
        plan = RunPlan(
            run_id=_run_id(started_at_ms),
            started_at_ms=started_at_ms,
            mode=ListingKind.FULL if self.options.full else ListingKind.INCREMENTAL,
            selection=selection,
            scopes=tuple(_scope_plan(opened, discoveries[opened.scope]) for opened in scopes),
            streams=tuple(self._planned(discoveries, known)),
            unreadable=unreadable,
        )
        tables = [image_table(scope, found.images) for scope, found in discoveries.items()]
        return self.landing.create(plan, pa.concat_tables([empty_images(), *tables]))

    def _narrowed(self, found: Discovery) -> Discovery:
        globs = self.options.images
        if not globs:
            return found
        chosen = (image for image in found.images if any(fnmatchcase(image.ImageName, glob) for glob in globs))
        return replace(found, images=tuple(chosen))

    def _planned(
        self, discoveries: Mapping[Scope, Discovery], known: Mapping[Stream, StreamKnowledge]
    ) -> Sequence[PlannedStream]:
        settings = PlanSettings(
            page_size=self.config.page_size,
            lookback_ms=_milliseconds(self.config.lookback.total_seconds()),
            reconcile_every_ms=_milliseconds(self.config.reconcile_every.total_seconds()),
            full=self.options.full,
        )
        return [
            plan_stream(stream, known.get(stream), settings, now_ms=found.now_ms)
            for scope, found in discoveries.items()
            for stream in (Stream(scope, image.ImageName) for image in found.images)
        ]

    def _extract(self, run: LandedRun, scopes: Sequence[OpenScope]) -> None:
        """Read the run's unfinished streams; returns when all that can be read is landed."""
        calls = {opened.scope: opened.calls for opened in scopes}
        age_seconds = (now_ms() - run.plan.started_at_ms) / 1000
        live = age_seconds <= self.config.resume_within.total_seconds()
        checkpoints = [
            checkpoint
            for checkpoint in resumed(run.plan.streams, run.checkpoints, tokens_live=live)
            if not checkpoint.finished and checkpoint.stream.scope in calls
        ]
        self.progress.planned(len(checkpoints))
        self.progress.stage("listing")
        cut = Cut(self.config.checkpoint_rows, self.config.checkpoint_seconds)
        with SegmentWriter(run, cut=cut, costs=_costs(calls)) as writer:
            lost = Extractor(
                calls, self._watched(writer.put), self.stop, self.config.concurrency
            ).run(checkpoints)
        self.stop.check()
        if lost and len(lost) == len(calls):
            raise next(iter(lost.values()))

    def _watched(self, sink: Callable[[PageRead], None]) -> Callable[[PageRead], None]:
        def put(page: PageRead) -> None:
            sink(page)
            self.progress.page(page)

        return put

    def _finish(self, run: LandedRun, waiting: Sequence[LandedRun], *, resumed: bool) -> RunReport:
        self.progress.stage("loading")
        current = self.landing.close(run)
        still_waiting = [earlier for earlier in waiting if earlier.folder.exists()]
        loaded = self._load([*still_waiting, current])
        done = report(
            loaded[-1],
            duration_seconds=time.monotonic() - self.started,
            lock_seconds=self.lock_seconds,
            resumed=resumed,
        )
        return replace(done, pending_runs=len(waiting))

    def _load(self, runs: Sequence[LandedRun], *, wait_seconds: float | None = None) -> list[Loaded]:
        """Load the runs in their order, each in its own transaction, and remove their folders.

        Returns those that were not loaded before. A run that an earlier process loaded and could not
        remove is only removed.
        """
        warehouse = self.warehouse
        if wait_seconds is not None:
            warehouse = replace(warehouse, lock_wait_seconds=wait_seconds)
        with warehouse.writing() as connection:
            opened = time.monotonic()
            done = loaded_runs(connection, [run.plan.run_id for run in runs])
            loaded = [load_run(connection, run) for run in runs if run.plan.run_id not in done]
            streams = connection.table("load/known_streams")
            opened = time.monotonic() - opened
        self.lock_seconds += opened
        self.landing.remember(streams)
        for run in runs:
            self.landing.remove(run)
        return loaded


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def _run_id(started_at_ms: int) -> str:
    """Sorts by start, to the millisecond; the random part tells machines apart."""
    moment = datetime.fromtimestamp(started_at_ms / 1000, tz=UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{started_at_ms % 1000:03d}Z-{secrets.token_hex(4)}"


def _scope_plan(opened: OpenScope, found: Discovery) -> ScopePlan:
    return ScopePlan(
        opened.scope, found.pages, len(found.images), found.t0_ms, opened.calls.meter.take()
    )


def _costs(calls: Mapping[Scope, object]) -> Callable[[], Mapping[Scope, Calls]]:
    return lambda: {scope: each.meter.take() for scope, each in calls.items()}


def _failure(where: str, error: ConnectorError) -> Failure:
    denied = isinstance(error, AccessDeniedError | CredentialsError)
    code = str(error.context.get("code", type(error).__name__))
    return Failure(where, None, Outcome.DENIED if denied else Outcome.FAILED, code, str(error))


def _fatal(error: ConnectorError) -> ConnectorError:
    """The error that ends a run of which no scope could be read."""
    if isinstance(error, TransientError):
        return SourceError(f"{error} Nothing was read; run sync again later.", **error.context)
    if isinstance(error, AccessDeniedError):
        return CredentialsError(f"{error} Nothing was read: allow sagemaker:ListImages.", **error.context)
    return error
