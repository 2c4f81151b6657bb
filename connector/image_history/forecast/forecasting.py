"""Forecasts what a sync would do now: reads the lists of images, the warehouse and the landing; writes nothing.

Must not know how it is shown, nor SQL or boto3.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from image_history.config import Config
from image_history.errors import LandingError, WarehouseLockedError
from image_history.extract.expand import find_targets
from image_history.extract.scopes import Target
from image_history.forecast.budget import syncs_for, within
from image_history.forecast.estimate import (
    NONE,
    DetailCalls,
    Facts,
    Pace,
    ScopeEstimate,
    ScopeFacts,
    Seconds,
    Span,
    StreamEstimate,
    estimate_scope,
    estimate_stream,
    total_seconds,
    with_details,
)
from image_history.hints.resting import Rest
from image_history.landing.memory import Memory
from image_history.landing.runs import LandedRun, Landing
from image_history.model import Failure, PlannedStream, Scope, Stop, Stream
from image_history.run.hearing import Hearing, may_go_on
from image_history.run.planning import Opened, Opening, Planning, SyncOptions, open_scopes
from image_history.warehouse.large_streams import LargeStream, large_streams
from image_history.warehouse.loader import Knowledge, known, known_streams, loaded_runs
from image_history.warehouse.pending import count_pending
from image_history.warehouse.warehouse import WarehouseFile, now_ms

logger = logging.getLogger(__name__)

_WAIT_SECONDS = 1.0
# A running sync renames and removes files while they are read here.
_LOOKS = 3


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A run in the landing that the warehouse lacks. `started_at_ms` is UTC epoch milliseconds."""

    run_id: str
    started_at_ms: int
    images: int
    images_left: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sync would do now, if nothing changed at AWS since the previous sync.

    `unreadable` are scopes whose images cannot be listed. `continued` is the unfinished run that the sync would
    continue instead of beginning one; `waiting` are runs that it would load first. `locked` names the holder of a
    locked warehouse: then the forecast is made from the landing's copy, and has ranges. `regions_from` says where
    regions come from that the configuration does not name. `hinted` images are listed first; with a `hints_problem`
    no image rests. `details_pending` counts all pending calls for details, `details_syncs` the syncs that they take.
    """

    scopes: tuple[ScopeEstimate, ...]
    seconds: Seconds
    unreadable: tuple[Failure, ...] = ()
    continued: Unloaded | None = None
    waiting: tuple[Unloaded, ...] = ()
    locked: str | None = None
    regions_from: tuple[str, ...] = ()
    hinted: int = 0
    hints_problem: str | None = None
    details_pending: Span = NONE
    details_syncs: Span = NONE


def pace_of(config: Config) -> Pace:
    """The configured pace."""
    return Pace(config.rate.list_per_second, config.rate.describe_per_second, config.concurrency)


def forecast(config: Config, *, options: SyncOptions | None = None, stop: Stop | None = None) -> Forecast:
    """Plan as a sync would, with calls of STS and ListImages only; nothing is written.

    If the configuration says `all` regions or names an organization, these are looked up too. Raises what a sync
    would raise before it lists versions. For an unfinished run, the work that is left is planned; images are listed
    only for the scopes that are not in its plan yet.
    """
    requested = options or SyncOptions()
    halt = stop or Stop()
    wanted = find_targets(config, halt)
    stored = _stored(config)
    selection = requested.selection(wanted)
    left = [run for run in stored.unloaded if run.finished or not requested.fresh]
    unfinished = [
        run
        for run in left
        if not run.finished and run.plan.selection == selection and may_go_on(run.plan, config)
    ]
    current = unfinished[-1] if unfinished else None
    waiting = tuple(run for run in left if run is not current)
    hearing = Hearing.of(config, requested, halt)
    # A forecast must leave all messages in the queue.
    hearing.release()
    rest = hearing.rest(stored.knowledge.confirmed, stored.knowledge.heard)
    looked = _Looked(config, requested, stored, waiting, rest, hearing.mail.problem)
    found = looked.rest_of(current, wanted, halt) if current else looked.new_run(wanted, selection, halt)
    regions = [f"{each}, from {each.region_from}" for each in wanted if each.region_from is not None]
    return replace(found, regions_from=tuple(regions))


@dataclass(frozen=True, slots=True)
class _Stored:
    """The data of the warehouse and of the landing; `locked` names the holder of a locked warehouse."""

    knowledge: Knowledge
    unloaded: tuple[LandedRun, ...]
    locked: str | None = None


def _stored(config: Config) -> _Stored:
    landing = Landing(config.landing_folder)
    runs = _runs(landing)
    if not config.warehouse.exists():
        return _Stored(Knowledge(), runs)
    try:
        with WarehouseFile(config.warehouse).reading(wait_seconds=_WAIT_SECONDS) as connection:
            loaded = loaded_runs(connection, [run.plan.run_id for run in runs])
            return _Stored(
                known(
                    connection,
                    confirmed=config.hints.rests_for is not None,
                    image_times=config.hints.trust_image_time,
                    memory=_memory(config, landing),
                ),
                tuple(run for run in runs if run.plan.run_id not in loaded),
            )
    except WarehouseLockedError as error:
        logger.warning("warehouse_locked", extra={"action": "planning from memory", "reason": str(error)})
        mark = landing.mark()
        remembered = None if mark is None else landing.remembered(mark)
        knowledge = Knowledge() if remembered is None else Knowledge(known_streams(remembered[0]))
        return _Stored(knowledge, runs, locked=str(error.context.get("holder", "another process")))


def _memory(config: Config, landing: Landing) -> Memory | None:
    """What the landing remembers of hints; None if the configuration uses none, or if it was lost."""
    mark = landing.mark() if config.hints.rests_for is not None else None
    found = None if mark is None else landing.remembered(mark)
    return None if found is None else found[1]


def _runs(landing: Landing) -> tuple[LandedRun, ...]:
    """The runs in the landing, read without its lock."""
    for _ in range(_LOOKS - 1):
        try:
            return landing.runs()
        except (LandingError, OSError):
            continue
    return landing.runs()


_Pending = Mapping[Stream, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class _Planned:
    """The streams to list, the images that AWS still has, and the calls for each scope's list of images.

    `listed` has the CreationTime of each of these images, in UTC epoch milliseconds. `resting` are images that need
    not be listed.
    """

    streams: Sequence[PlannedStream]
    listed: Mapping[Stream, int]
    list_images: Mapping[Scope, int]
    resting: AbstractSet[Stream]
    hinted: int = 0
    unreadable: tuple[Failure, ...] = ()
    run: LandedRun | None = None

    def joined(self, more: _Planned) -> _Planned:
        """This plan, with that of scopes that come later."""
        return _Planned(
            streams=(*self.streams, *more.streams),
            listed={**self.listed, **more.listed},
            list_images={**self.list_images, **more.list_images},
            resting=self.resting | more.resting,
            hinted=self.hinted + more.hinted,
            unreadable=(*self.unreadable, *more.unreadable),
            run=self.run,
        )


@dataclass(frozen=True, slots=True)
class _Looked:
    """The data that a forecast is made from, except the streams to list."""

    config: Config
    options: SyncOptions
    stored: _Stored
    waiting: tuple[LandedRun, ...]
    rest: Rest
    hints_problem: str | None

    def new_run(self, wanted: Sequence[Target], selection: str, stop: Stop) -> Forecast:
        """The forecast of a run that begins now."""
        known_accounts = self.stored.knowledge.accounts
        opened = open_scopes(wanted, self.config, self.options, accounts=known_accounts, stop=stop)
        return self._forecast(self._planned(opened, selection))

    def rest_of(self, run: LandedRun, wanted: Sequence[Target], stop: Stop) -> Forecast:
        """The forecast of a sync that continues this run; the plan has the images of its scopes already."""
        listed = _listed(run)
        begun = _Planned(
            streams=run.plan.streams,
            listed=listed,
            list_images={scope.scope: 0 for scope in run.plan.scopes},
            resting=listed.keys() - {each.stream for each in run.plan.streams},
            hinted=sum(scope.hinted for scope in run.plan.scopes),
            unreadable=run.plan.unreadable,
            run=run,
        )
        if run.plan.last:
            return self._forecast(begun)
        done = frozenset(begun.list_images)
        known_accounts = self.stored.knowledge.accounts
        opening = Opening(wanted, self.config, self.options, known_accounts, stop, done)
        new = []
        for wave in opening.waves(patience_seconds=math.inf):
            new = [replace(wave, scopes=tuple(each for each in wave.scopes if each.scope not in done))]
        return self._forecast(begun.joined(self._planned(new[-1], run.plan.selection)))

    def _planned(self, opened: Opened, selection: str) -> _Planned:
        planning = Planning(self.config, self.options, self.stored.knowledge.streams, rest=self.rest)
        plan, images = planning.plan(opened, selection, now_ms=now_ms())
        listed = _created(images)
        return _Planned(
            streams=plan.streams,
            listed=listed,
            list_images={scope.scope: scope.pages for scope in plan.scopes},
            resting=listed.keys() - {each.stream for each in plan.streams},
            hinted=sum(scope.hinted for scope in plan.scopes),
            unreadable=plan.unreadable,
        )

    def _forecast(self, planned: _Planned) -> Forecast:
        pace = pace_of(self.config)
        by_scope: dict[Scope, list[StreamEstimate]] = {scope: [] for scope in planned.list_images}
        pending = self._pending()
        for each in self._estimates(planned, pending):
            by_scope[each.stream.scope].append(each)
        resting = {scope: [each for each in planned.resting if each.scope == scope] for scope in by_scope}
        details = {
            scope: _pending_calls(streams, resting[scope], pending) for scope, streams in by_scope.items()
        }
        affordable = within(details, self.config.details_budget)
        all_pending = sum((calls.total for calls in details.values()), start=NONE)
        scopes = tuple(
            estimate_scope(
                scope,
                ScopeFacts(planned.list_images[scope], len(resting[scope]), affordable[scope]),
                streams,
                pace,
            )
            for scope, streams in by_scope.items()
        )
        return Forecast(
            scopes=scopes,
            seconds=total_seconds(scopes, pace),
            unreadable=planned.unreadable,
            continued=None if planned.run is None else _unloaded(planned.run),
            waiting=tuple(map(_unloaded, self.waiting)),
            locked=self.stored.locked,
            hinted=planned.hinted,
            hints_problem=self.hints_problem,
            details_pending=all_pending,
            details_syncs=syncs_for(all_pending, self.config.details_budget),
        )

    def _estimates(self, planned: _Planned, pending: _Pending | None) -> Sequence[StreamEstimate]:
        large = self._large(planned.streams)
        waiting = {each.stream for run in self.waiting for each in run.plan.streams}
        run = planned.run
        begun_ms = now_ms() if run is None else run.plan.started_at_ms
        tokens_live = (now_ms() - begun_ms) / 1000 <= self.config.resume_within.total_seconds()
        marks = {} if run is None else run.checkpoints

        def facts(stream: Stream) -> Facts:
            found = large.get(stream)
            return Facts(
                known=self.stored.knowledge.streams.get(stream),
                listed=stream in planned.listed,
                recreated=self._recreated(planned, stream),
                waiting=stream in waiting,
                recent=None if found is None else found.recent,
                unexplained=None if found is None else found.unexplained,
                mark=marks.get(stream),
                tokens_live=tokens_live,
            )

        full = self.options.full
        found = [estimate_stream(each, facts(each.stream), full=full) for each in planned.streams]
        return self._with_details(planned, found, pending) if self.config.details else found

    def _recreated(self, planned: _Planned, stream: Stream) -> bool:
        """Whether AWS's list of images shows another CreationTime than the stored one."""
        known = self.stored.knowledge.streams.get(stream)
        stored_ms = None if known is None else known.image_created_ms
        return None not in (stored_ms, planned.listed.get(stream)) and planned.listed[stream] != stored_ms

    def _pending(self) -> _Pending | None:
        """The pending calls for details of stored versions; None if unknown, or if the sync reads no details."""
        before_ms = now_ms() - round(self.config.details_every.total_seconds() * 1000)
        if not self.config.details or not self.stored.knowledge.streams or self.stored.locked is not None:
            return None
        try:
            with WarehouseFile(self.config.warehouse).reading(wait_seconds=_WAIT_SECONDS) as connection:
                return count_pending(connection, before_ms)
        except WarehouseLockedError:
            return None

    def _with_details(
        self, planned: _Planned, streams: Sequence[StreamEstimate], pending: _Pending | None
    ) -> Sequence[StreamEstimate]:
        """The estimates with the pending calls for details of stored versions.

        They are unknown for new and recreated images, and for all images while the warehouse is locked.
        """

        def pending_of(stream: Stream) -> tuple[int, int] | None:
            stored = stream in self.stored.knowledge.streams and not self._recreated(planned, stream)
            return pending.get(stream, (0, 0)) if pending is not None and stored else None

        return [with_details(each, pending_of(each.stream)) for each in streams]

    def _large(self, streams: Sequence[PlannedStream]) -> Mapping[Stream, LargeStream]:
        """The stored facts about streams of more than one page; none while the warehouse is locked."""
        known_streams = self.stored.knowledge.streams
        large = [
            planned
            for planned in streams
            if planned.stream in known_streams
            and known_streams[planned.stream].live_versions >= planned.request.page_size
        ]
        if not large or self.stored.locked is not None:
            return {}
        try:
            with WarehouseFile(self.config.warehouse).reading(wait_seconds=_WAIT_SECONDS) as connection:
                return large_streams(connection, large)
        except WarehouseLockedError as error:
            logger.warning("warehouse_locked", extra={"action": "planning ranges", "reason": str(error)})
            return {}


def _pending_calls(
    streams: Sequence[StreamEstimate], resting: Sequence[Stream], pending: _Pending | None
) -> DetailCalls:
    """The pending calls for details of a scope's images, both listed and resting."""
    found = {} if pending is None else pending
    described, aliased = zip((0, 0), *(found.get(stream, (0, 0)) for stream in resting), strict=True)
    return DetailCalls(
        sum((each.descriptions for each in streams), start=Span.of(sum(described))),
        sum((each.aliases for each in streams), start=Span.of(sum(aliased))),
    )


def _created(images: pa.Table) -> Mapping[Stream, int]:
    """The CreationTime of each image of a table, in UTC epoch milliseconds."""
    names = (images[name].to_pylist() for name in ("account_id", "region", "image_name"))
    times = images["creation_time"].cast(pa.int64()).to_pylist()
    return {
        Stream(Scope(account_id, region), name): created_ms
        for account_id, region, name, created_ms in zip(*names, times, strict=True)
    }


def _listed(run: LandedRun) -> Mapping[Stream, int]:
    """The images that the scopes' lists had when the run began."""
    return {
        stream: created_ms
        for path in run.images
        for stream, created_ms in _created(pq.read_table(path)).items()
    }


def _unloaded(run: LandedRun) -> Unloaded:
    done = sum(mark.finished for mark in run.checkpoints.values())
    images = len(run.plan.streams)
    return Unloaded(
        run_id=run.plan.run_id,
        started_at_ms=run.plan.started_at_ms,
        images=images,
        images_left=0 if run.finished else images - done,
    )
