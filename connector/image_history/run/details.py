"""Reads the pending details of versions, each scope on its own threads, and writes them to the landing folder.

Details are optional: only a stop or a disk error here can keep a run from being loaded. Must not know
SQL, boto3, or how details are stored.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from image_history.aws.bodies import epoch_ms
from image_history.config import Config
from image_history.durable.effects import Effect, fault_point
from image_history.errors import (
    AccessDeniedError,
    ConnectorError,
    FatalError,
    ImageNotFoundError,
    InterruptedRunError,
    SkippableError,
    TransientError,
)
from image_history.extract.calls import ScopeCalls
from image_history.extract.workers import Workers
from image_history.landing.batch_writer import Cut
from image_history.landing.details_writer import DetailsWriter
from image_history.landing.runs import LandedRun, read_on
from image_history.listing.chain import Chain, chained
from image_history.listing.details import ALIASES, DESCRIBE, Lookup, PendingVersion, Trouble, shares
from image_history.model import Calls, Outcome, Scope, Stop, Stream
from image_history.run.visible import Meanwhile, Visible
from image_history.telemetry import span
from image_history.warehouse.pending import PendingVersions

logger = logging.getLogger(__name__)

_Call = Callable[[Lookup, ScopeCalls], Lookup | None]

# An alias that moves while aliases are read makes another round necessary.
_MOST_ROUNDS = 4
# After so many denied images or failed calls in a row, a run makes no more of these calls in the scope.
_ENOUGH = 3


@dataclass(slots=True)
class _ScopeState:
    """Which calls for details are still worth making in one scope.

    `closed` says why an operation is not called any more, `denied` why not for an image. `reported` are the pairs
    of operation and stream whose trouble was reported. `missed` are the lookups that failed, `answered` the
    operations that succeeded at least once.
    """

    calls: ScopeCalls
    closed: dict[str, Trouble] = field(default_factory=dict)
    denied: dict[tuple[str, Stream], Trouble] = field(default_factory=dict)
    reported: set[tuple[str, Stream]] = field(default_factory=set)
    missed: set[tuple[Stream, int, str]] = field(default_factory=set)
    answered: set[str] = field(default_factory=set)
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def refusal(self, operation: str, stream: Stream) -> Trouble | None:
        """Why the operation is not to be called for a stream; None if it may be called."""
        closed = self.closed.get(operation)
        if closed is None:
            return self.denied.get((operation, stream))
        message = (
            f"{operation} was not called for {stream}: it failed too often in {stream.scope} in this run, the "
            f"last time with {closed.code}. The next sync tries again."
        )
        return replace(closed, stream=stream, message=message)

    def calls_of(self, pending: PendingVersion) -> int:
        """How many calls a lookup of this version makes, without the operations that were refused already."""
        wanted = ((DESCRIBE, pending.describe), (ALIASES, pending.aliases))
        return sum(due and self.refusal(operation, pending.stream) is None for operation, due in wanted)

    def may_try(self, pending: PendingVersion, operation: str) -> bool:
        """Whether the call may succeed, or its refusal still has to be reported."""
        if (pending.stream, pending.version, operation) in self.missed:
            return False
        return (
            self.refusal(operation, pending.stream) is None
            or (operation, pending.stream) not in self.reported
        )

    def miss(self, pending: PendingVersion, *operations: str) -> None:
        """Note that these operations gave no answer for a version, and are not called for it again in this run."""
        with self.lock:
            self.missed |= {(pending.stream, pending.version, operation) for operation in operations}

    def unreported(self, trouble: Trouble) -> tuple[Trouble, ...]:
        """The trouble, if none was reported for its operation and stream before."""
        with self.lock:
            key = (trouble.operation, trouble.stream)
            first = key not in self.reported
            self.reported.add(key)
            return (trouble,) if first else ()

    def succeeded(self, operation: str) -> None:
        """Note that a call succeeded."""
        with self.lock:
            self.answered.add(operation)
            self.failed = 0

    def met(self, trouble: Trouble, error: ConnectorError) -> None:
        """Note that a call was denied or failed for good, and decide which other calls to leave out."""
        with self.lock:
            if trouble.outcome is Outcome.DENIED:
                self.denied[trouble.operation, trouble.stream] = trouble
                refusing = sum(operation == trouble.operation for operation, _ in self.denied)
                if trouble.operation not in self.answered and refusing >= _ENOUGH:
                    self.closed.setdefault(trouble.operation, trouble)
                return
            self.failed += 1
            if isinstance(error, FatalError) or self.failed >= _ENOUGH:
                for operation in (DESCRIBE, ALIASES):
                    self.closed.setdefault(operation, replace(trouble, operation=operation))


@dataclass(slots=True)
class Detailing:
    """Reads the details of one run. `find_pending` compares what is landed with the warehouse.

    Each scope is read on at most `threads` threads of its own. ListAliases is paced as a list call,
    DescribeImageVersion as a describe call. `visible` loads what was read while more is read.
    `left` is the number of calls that `details_budget` leaves to later runs.
    """

    config: Config
    calls: Mapping[Scope, ScopeCalls]
    find_pending: Callable[[LandedRun], Mapping[Scope, PendingVersions]]
    stop: Stop
    visible: Visible
    threads: int
    left: int = 0
    _states: dict[Scope, _ScopeState] = field(default_factory=dict)

    def run(self, run: LandedRun) -> LandedRun:
        """Read the pending details, as many as the budget allows; return the run with what is landed then.

        A denied or failed call is landed as trouble, and its details stay pending: a later run tries again. Raises
        InterruptedRunError, LandingError, and what `find_pending` raises; what was read by then is landed.
        """
        current, spent, budget = run, calls_made(run), self.config.details_budget
        for _ in range(_MOST_ROUNDS):
            due = {scope: rows for scope, rows in self.find_pending(current).items() if scope in self.calls}
            remaining = self._remaining(due)
            if not remaining:
                self.left = 0
                break
            pending = {scope: due[scope].calls for scope in remaining}
            allowed = shares(pending, None if budget is None else budget - spent)
            with span("details", versions=sum(map(len, due.values()))):
                made = self._round(current, remaining, allowed)
            spent += made
            self.left = 0 if budget is None else sum(pending.values()) - made
            self.stop.check()
            current = read_on(current)
            if not made:
                break
        return current

    def _remaining(self, due: Mapping[Scope, PendingVersions]) -> Mapping[Scope, Iterator[PendingVersion]]:
        """The pending versions that are still worth a call, by scope; scopes without any are left out."""
        found = {}
        for scope, rows in due.items():
            state = self._states.setdefault(scope, _ScopeState(self.calls[scope]))
            if any(True for _ in _fresh(rows, state)):
                found[scope] = _fresh(rows, state)
        return found

    def _round(
        self,
        run: LandedRun,
        remaining: Mapping[Scope, Iterator[PendingVersion]],
        allowed: Mapping[Scope, int],
    ) -> int:
        """Make the allowed number of calls in each scope; return how many were made in all."""
        queues = {
            scope: _Shared(versions, self._states[scope], allowed[scope])
            for scope, versions in remaining.items()
        }
        workers = Workers(self.stop)
        cut = Cut(self.config.checkpoint_rows, self.config.checkpoint_seconds)
        with (
            DetailsWriter(run, cut=cut, costs=self._costs) as writer,
            Meanwhile(_Slices(self.visible, writer, run).look, self.visible.rhythm.look),
        ):
            try:
                for scope, queue in queues.items():
                    job = partial(self._work, workers, self._states[scope], queue, writer)
                    for _ in range(self.threads):
                        workers.start(job)
                workers.wait()
            finally:
                workers.close()
        return sum(allowed[scope] - queue.left for scope, queue in queues.items())

    def _work(self, workers: Workers, state: _ScopeState, versions: _Shared, writer: DetailsWriter) -> None:
        while not workers.over and (pending := versions.next()) is not None:
            try:
                lookup = _lookup(pending, state)
            except InterruptedRunError:
                return
            if lookup.answered or lookup.troubles:
                writer.put(lookup)

    def _costs(self) -> Mapping[Scope, Calls]:
        return {scope: calls.meter.take() for scope, calls in self.calls.items()}


def calls_made(run: LandedRun) -> int:
    """The calls for details that an interrupted run has made already."""
    return sum(cost.calls.of(DESCRIBE) + cost.calls.of(ALIASES) for cost in run.details.costs)


@dataclass(slots=True)
class _Slices:
    """Loads the details that were read, at intervals, while others are read."""

    visible: Visible
    writer: DetailsWriter
    landed: LandedRun

    def look(self) -> None:
        if self.visible.details_are_due():
            self.visible.attempt(self._slice)

    def _slice(self) -> None:
        whole = self.visible.whole()
        self.writer.cut()
        self.landed = read_on(self.landed)
        if whole or len(self.landed.details.files) > self.visible.last.first_file:
            self.visible.part(self.landed, whole)


class _Shared:
    """Versions that several threads take one by one, until the allowed calls are used up."""

    def __init__(self, versions: Iterator[PendingVersion], state: _ScopeState, left: int) -> None:
        self._versions = versions
        self._state = state
        self.left = left
        self._lock = threading.Lock()

    def next(self) -> PendingVersion | None:
        """The next version; None when all are taken, or when no call is left.

        If one call is left for a version that needs two, its description is read now, its aliases by the next sync.
        """
        with self._lock:
            pending = next(self._versions, None)
            if pending is None:
                return None
            calls = self._state.calls_of(pending)
            if calls > self.left:
                self._versions = iter(())
                if not self.left:
                    return None
                pending, calls = replace(pending, aliases=False), self.left
            self.left -= calls
            return pending


def _fresh(rows: Iterable[PendingVersion], state: _ScopeState) -> Iterator[PendingVersion]:
    """The versions that are still worth a call, each with only the operations that are."""
    for pending in rows:
        left = replace(
            pending,
            describe=pending.describe and state.may_try(pending, DESCRIBE),
            aliases=pending.aliases and state.may_try(pending, ALIASES),
        )
        if left.describe or left.aliases:
            yield left


def _lookup(pending: PendingVersion, state: _ScopeState) -> Lookup:
    """Make the calls for the pending details of one version."""
    lookup, is_there = Lookup(pending), True
    if pending.describe:
        lookup, is_there = _ask(lookup, DESCRIBE, state, _described)
    if pending.aliases and is_there:
        lookup, _ = _ask(lookup, ALIASES, state, _aliased)
    return lookup


def _ask(lookup: Lookup, operation: str, state: _ScopeState, call: _Call) -> tuple[Lookup, bool]:
    """The lookup with the answer or the trouble added; False if the version does not exist any more.

    A listing may show a deleted version for a while: this counts as no trouble.
    """
    stream = lookup.pending.stream
    refusal = state.refusal(operation, stream)
    if refusal is not None:
        return _troubled(lookup, state, refusal), True
    try:
        answered = call(lookup, state.calls)
    except ImageNotFoundError:
        answered = None
    except InterruptedRunError:
        raise
    except (TransientError, SkippableError, FatalError) as error:
        trouble = _trouble(stream, operation, error)
        state.met(trouble, error)
        state.miss(lookup.pending, operation)
        return _troubled(lookup, state, trouble), True
    state.succeeded(operation)
    if answered is None:
        state.miss(lookup.pending, DESCRIBE, ALIASES)
        return lookup, False
    if operation == DESCRIBE and answered.described is None:
        state.miss(lookup.pending, DESCRIBE)
    return answered, True


def _troubled(lookup: Lookup, state: _ScopeState, trouble: Trouble) -> Lookup:
    return replace(lookup, troubles=lookup.troubles + state.unreported(trouble))


def _trouble(stream: Stream, operation: str, error: ConnectorError) -> Trouble:
    outcome = Outcome.DENIED if isinstance(error, AccessDeniedError) else Outcome.FAILED
    logger.warning(
        "details_not_read",
        extra={"stream": str(stream), "operation": operation, "outcome": outcome.value, "reason": str(error)},
    )
    code = str(error.context.get("code") or type(error).__name__)
    return Trouble(stream, operation, outcome, code, str(error))


def _described(lookup: Lookup, calls: ScopeCalls) -> Lookup | None:
    """The lookup with the answer of DescribeImageVersion; None if it has another CreationTime.

    An answer with another LastModifiedTime is of a state that was not listed: the description stays pending until
    that state is listed.
    """
    pending = lookup.pending
    answer = calls.describe_image_version(pending.stream.image_name, pending.version)
    fault_point(Effect.FETCHED, DESCRIBE)
    found = epoch_ms(answer.body.CreationTime), epoch_ms(answer.body.LastModifiedTime)
    listed = pending.creation_ms, pending.last_modified_ms
    is_listed = found == listed or _is_rounded(found, listed)
    if found[0] != listed[0] and not is_listed:
        return None
    drift = lookup.drift + answer.drift
    if not is_listed:
        logger.info("version_changed_since_listing", extra=_which(pending))
        return replace(lookup, drift=drift)
    return replace(lookup, described=answer.body, described_ms=answer.date_ms, drift=drift)


def _is_rounded(found: tuple[int, int], listed: tuple[int, int]) -> bool:
    """Whether DescribeImageVersion gives the listed creation and last modification in whole seconds.

    Both were seen with milliseconds. If AWS rounds them one day, details must not stay pending for ever.
    """
    return found == (listed[0] // 1000 * 1000, listed[1] // 1000 * 1000)


def _which(pending: PendingVersion) -> dict[str, object]:
    return {"stream": str(pending.stream), "version": pending.version, "operation": DESCRIBE}


def _aliased(lookup: Lookup, calls: ScopeCalls) -> Lookup:
    """The lookup with all pages of the version's aliases."""
    pending = lookup.pending
    chain = Chain(
        f"ListAliases of version {pending.version} of {pending.stream}",
        "its aliases stay as they were, and the next sync tries again.",
    )
    names: set[str] = set()
    drift, ended_ms = lookup.drift, 0
    for answer in chained(
        chain,
        partial(calls.list_aliases, pending.stream.image_name, pending.version),
        lambda answer: (not answer.body.SageMakerImageVersionAliases, answer.body.NextToken),
    ):
        fault_point(Effect.FETCHED, ALIASES)
        names.update(answer.body.SageMakerImageVersionAliases)
        drift, ended_ms = drift + answer.drift, answer.date_ms
    return replace(lookup, aliases=tuple(sorted(names)), aliases_ms=ended_ms, drift=drift)
