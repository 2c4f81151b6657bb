"""Forecasts what a sync would do now: reads the lists of images, the warehouse and the landing; writes nothing.

Must not know how it is shown, nor SQL or boto3.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.parquet as pq

from image_history.config import Config
from image_history.extract.expand import find_targets
from image_history.extract.scopes import Target
from image_history.forecast.budget import syncs_for, within
from image_history.forecast.details import pending_calls, with_details
from image_history.forecast.estimate import (
    NONE,
    Facts,
    Pace,
    ScopeEstimate,
    ScopeFacts,
    Seconds,
    Span,
    StreamEstimate,
    estimate_resting,
    estimate_scope,
    estimate_stream,
    total_seconds,
)
from image_history.forecast.stored import Stored
from image_history.hints.resting import Rest
from image_history.landing.mark import syncing
from image_history.landing.runs import LandedRun
from image_history.listing.breaker import tripped
from image_history.listing.details import PendingCalls
from image_history.listing.request import made_again
from image_history.model import Failure, Outcome, PlannedStream, Scope, Stop, Stream, StreamKnowledge
from image_history.run.details import calls_made
from image_history.run.hearing import Hearing
from image_history.run.listing import judged_anew
from image_history.run.planning import Opened, Opening, Planning, SyncOptions, open_scopes
from image_history.warehouse.warehouse import now_ms


@dataclass(frozen=True, slots=True)
class Unloaded:
    """A run in the landing that the warehouse lacks. `started_at_ms` is UTC epoch milliseconds.

    Of the images left, `images_listed` are listed already, and only have to be compared with the warehouse.
    """

    run_id: str
    started_at_ms: int
    images: int
    images_left: int
    images_listed: int = 0


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a sync would do now, if nothing changed at AWS since the previous sync.

    `unreadable` are scopes whose images cannot be listed. `continued` is the unfinished run that the sync would
    continue instead of beginning one; `waiting` are runs that it would load first. `locked` names the holder of a
    locked warehouse: then the forecast is made from the landing's copy, and has ranges. `regions_from` says where
    regions come from that the configuration does not name. `hinted` images are listed first; with a `hints_problem`
    no image rests. `details_pending` counts all pending calls for details, `details_syncs` the syncs that they take.
    `syncing` is the process of a sync that works in the landing now.
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
    syncing: str | None = None


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
    selection = requested.selection(wanted)
    stored = Stored.of(config, requested, selection)
    current = stored.continued
    waiting = tuple(run for run in stored.unloaded if run is not current)
    hearing = Hearing.of(config, requested, halt)
    # A forecast must leave all messages in the queue.
    hearing.release()
    rest = hearing.rest(stored.knowledge.confirmed, stored.knowledge.heard)
    looked = _Looked(config, requested, stored, waiting, rest, hearing.mail.problem)
    found = looked.rest_of(current, wanted, halt) if current else looked.new_run(wanted, selection, halt)
    regions = [f"{each}, from {each.region_from}" for each in wanted if each.region_from is not None]
    return replace(found, regions_from=tuple(regions), syncing=syncing(config.landing_folder))


@dataclass(frozen=True, slots=True)
class _Planned:
    """The streams to list, the images that AWS still has, and the calls for each scope's list of images.

    `listed` has the CreationTime of each of these images, and `seen_ms` the T0 of each scope's list of images, in UTC
    epoch milliseconds. `resting` are images that need not be listed.
    """

    streams: Sequence[PlannedStream]
    listed: Mapping[Stream, int]
    list_images: Mapping[Scope, int]
    resting: AbstractSet[Stream]
    seen_ms: Mapping[Scope, int]
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
            seen_ms={**self.seen_ms, **more.seen_ms},
            hinted=self.hinted + more.hinted,
            unreadable=(*self.unreadable, *more.unreadable),
            run=self.run,
        )


@dataclass(frozen=True, slots=True)
class _Looked:
    """The data that a forecast is made from, except the streams to list."""

    config: Config
    options: SyncOptions
    stored: Stored
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
            seen_ms={scope.scope: scope.t0_ms for scope in run.plan.scopes},
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
        planning = Planning(self.config, self.options, self._known_soon(), rest=self.rest)
        plan, images = planning.plan(opened, selection, now_ms=now_ms())
        listed = _created(images)
        return _Planned(
            streams=plan.streams,
            listed=listed,
            list_images={scope.scope: scope.pages for scope in plan.scopes},
            resting=listed.keys() - {each.stream for each in plan.streams},
            seen_ms={scope.scope: scope.t0_ms for scope in plan.scopes},
            hinted=sum(scope.hinted for scope in plan.scopes),
            unreadable=plan.unreadable,
        )

    def _known_soon(self) -> Mapping[Stream, StreamKnowledge]:
        """What is known of all streams, with the images of the waiting runs as the sync will know them."""
        known = self.stored.knowledge.streams
        soon = {
            stream: replace(known.get(stream, StreamKnowledge(0)), image_live=True)
            for stream in self._waiting_streams()
        }
        return {**known, **soon}

    def _waiting_streams(self) -> AbstractSet[Stream]:
        listed = {each.stream for run in self.waiting for each in run.plan.streams}
        return listed.union(*(run.details.streams for run in self.waiting))

    def _forecast(self, planned: _Planned) -> Forecast:
        pace = pace_of(self.config)
        by_scope: dict[Scope, list[StreamEstimate]] = {scope: [] for scope in planned.list_images}
        for each in self._estimates(planned):
            by_scope[each.stream.scope].append(each)
        details = {scope: pending_calls(streams) for scope, streams in by_scope.items()}
        budget, spent = self.config.details_budget, 0 if planned.run is None else calls_made(planned.run)
        affordable = within(details, None if budget is None else max(0, budget - spent))
        all_pending = sum((calls.total for calls in details.values()), start=NONE)
        scopes = tuple(
            estimate_scope(scope, ScopeFacts(planned.list_images[scope], affordable[scope]), streams, pace)
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
            details_syncs=syncs_for(all_pending, budget, spent),
        )

    def _estimates(self, planned: _Planned) -> Iterator[StreamEstimate]:
        """The estimates of the streams to list, and of the images that rest."""
        facts_of = self._facts(planned)
        pending = self.stored.pending(planned.run, planned.seen_ms) if self.config.details else None

        def detailed(estimate: StreamEstimate, facts: Facts) -> StreamEstimate:
            if not self.config.details:
                return estimate
            calls = None if pending is None else pending.get(estimate.stream, PendingCalls())
            return with_details(estimate, calls, facts)

        for each in planned.streams:
            facts = facts_of(each.stream)
            yield detailed(estimate_stream(each, facts, full=self.options.full), facts)
        for stream in planned.resting:
            facts = facts_of(stream)
            fixed = planned.run is not None and stream.scope in _scopes(planned.run)
            yield detailed(estimate_resting(stream, waiting=facts.waiting, fixed=fixed), facts)

    def _facts(self, planned: _Planned) -> Callable[[Stream], Facts]:
        """The facts about each stream of a plan."""
        large, run = self.stored.large(planned.streams), planned.run
        waits, tripped = self._waits(), self._tripped(planned)
        begun_ms = now_ms() if run is None else run.plan.started_at_ms
        tokens_live = (now_ms() - begun_ms) / 1000 <= self.config.resume_within.total_seconds()
        marks = {} if run is None else run.checkpoints
        steps = {} if run is None else self.stored.steps(run)

        def facts(stream: Stream) -> Facts:
            known = self.stored.knowledge.streams.get(stream)
            found = large.get(stream)
            mark = marks.get(stream)
            return Facts(
                known=known,
                listed=stream in planned.listed,
                recreated=known is not None and made_again(known, planned.listed.get(stream)),
                waiting=waits(stream),
                may_rest=self.rest.allowed,
                recent=None if found is None else found.recent,
                unexplained=None if found is None else found.unexplained,
                tripped=tripped[stream.scope],
                mark=None if mark is None else judged_anew(mark, allowed=self.options.allow_mass_delete),
                tokens_live=tokens_live,
                step=None if waits(stream) else steps.get(stream),
            )

        return facts

    def _waits(self) -> Callable[[Stream], bool]:
        """Whether waiting rows decide how a stream is listed; the times of images are judged scope by scope."""
        streams = self._waiting_streams()
        scopes = {each.scope for each in streams} if self.rest.by_image_time else frozenset()
        return lambda stream: stream in streams or stream.scope in scopes

    def _tripped(self, planned: _Planned) -> Mapping[Scope, bool | None]:
        """Whether the breaker holds back the deletions of each scope; None if the rows of other runs decide it."""
        known = self.stored.knowledge.streams
        doomed, live = Counter[Scope](), Counter[Scope]()
        for stream, each in known.items():
            live[stream.scope] += each.live_versions
        for stream in (each.stream for each in planned.streams if each.stream in known):
            doomed[stream.scope] += _doomed(known[stream], planned.listed.get(stream))
        over = tripped(doomed, live, allowed=self.options.allow_mass_delete)
        unknown = {stream.scope for stream in self._waiting_streams()}
        unknown |= {stream.scope for stream in ({} if planned.run is None else planned.run.checkpoints)}
        return {scope: None if scope in unknown else scope in over for scope in planned.list_images}


def _doomed(known: StreamKnowledge, created_ms: int | None) -> int:
    """How many versions of a stream are missing, as far as is known: all of an image that AWS does not list."""
    if created_ms is None:
        return known.live_versions
    return 0 if made_again(known, created_ms) else known.held_back


def _scopes(run: LandedRun) -> AbstractSet[Scope]:
    return {plan.scope for plan in run.plan.scopes}


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
    listed = sum(mark.outcome in {Outcome.READ, Outcome.MISSING} for mark in run.checkpoints.values())
    images = len(run.plan.streams)
    return Unloaded(
        run_id=run.plan.run_id,
        started_at_ms=run.plan.started_at_ms,
        images=images,
        images_left=0 if run.finished else images - done,
        images_listed=0 if run.finished else listed,
    )
