"""The page loop of a stream, and the bounded pool on which streams run.

Hands each page with the checkpoint after it to a sink; must not know segments, Arrow or the warehouse.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import TypeVar

from connector.acceptance import MAX_READINGS, MOST_EMPTY_PAGES, PageRead, advance, begin, ended, read_again
from connector.effects import Effect, reach
from connector.errors import (
    AccessDeniedError,
    FatalError,
    ImageNotFoundError,
    InterruptedRunError,
    LandingError,
    ListingUnstableError,
    MalformedResponseError,
    RequestRejectedError,
    SkippableError,
    SourceError,
    ThrottledError,
    TransientError,
)
from connector.extract.calls import ScopeCalls
from connector.model import Checkpoint, Outcome, PlannedStream, Scope, Stop, Stream
from connector.wire import ImageVersion

logger = logging.getLogger(__name__)

_STREAMS_LOST_BEFORE_SCOPE_IS_DOWN = 3
_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.5


Sink = Callable[[PageRead], None]
Result = TypeVar("Result")


def together(jobs: Sequence[Callable[[], Result]], threads: int, stop: Stop) -> list[Result]:
    """Run the jobs on so many threads; their results in order, or the first exception that one raises.

    Returns soon after `stop` is requested, with the results there are, even if a call hangs.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scope")
    futures = [pool.submit(job) for job in jobs]
    try:
        pending = set(futures)
        while pending and not stop.requested:
            done, pending = wait(pending, timeout=_POLL_SECONDS, return_when="FIRST_EXCEPTION")
            _raise_first(done)
        done, _ = wait(pending, timeout=_GRACE_SECONDS)
        _raise_first(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [future.result() for future in futures if future.done() and not future.cancelled()]


def _raise_first(done: Iterable[Future[Result]]) -> None:
    for future in done:
        if not future.cancelled():
            future.result()


@dataclass(frozen=True, slots=True)
class _Lost:
    """A stream whose last call was not answered, however often it was made."""

    checkpoint: Checkpoint
    error: TransientError


@dataclass(slots=True)
class _ScopeState:
    """Whether a scope still answers. A scope is given up when several streams in a row got no answer at all.

    Those streams stay as they are, for the next sync to go on with: only in a scope that answers others does
    a stream fail that gets no answer.
    """

    calls: ScopeCalls
    lost: list[_Lost] = field(default_factory=list)
    ever_answered: bool = False
    error: FatalError | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answered(self) -> Sequence[_Lost]:
        """A stream was read; the streams that were lost before it, which now have failed."""
        with self.lock:
            self.ever_answered = True
            failed, self.lost = self.lost, []
            return failed

    def lose(self, lost: _Lost) -> None:
        """A stream got no answer."""
        with self.lock:
            self.lost.append(lost)
            if len(self.lost) >= _STREAMS_LOST_BEFORE_SCOPE_IS_DOWN:
                self._give_up()

    def over(self) -> Sequence[_Lost]:
        """All streams were tried; those that have failed, none if the scope is given up.

        Throttling is never about one stream, so a scope that throttles to the last is given up as well.
        """
        with self.lock:
            throttled = any(isinstance(each.error, ThrottledError) for each in self.lost)
            if self.lost and (throttled or not self.ever_answered):
                self._give_up()
            return self.lost if self.error is None else ()

    def _give_up(self) -> None:
        if self.error is None:
            error = self.lost[-1].error
            self.error = SourceError(
                f"AWS no longer answers {self.calls.where}: {error} "
                "What was read is kept; run sync again to go on.",
                **error.context,
            )

    def broke(self, error: FatalError) -> None:
        with self.lock:
            self.error = self.error or error


@dataclass(frozen=True, slots=True)
class Extractor:
    """Reads streams concurrently into `sink`, which must be safe to call from many threads."""

    scopes: Mapping[Scope, ScopeCalls]
    sink: Sink
    stop: Stop
    concurrency: int

    def run(self, checkpoints: Iterable[Checkpoint]) -> Mapping[Scope, FatalError]:
        """Read every unfinished stream on from its checkpoint; return the scopes that had to be given up.

        Returns when all is read, or soon after `stop` is set, even if a call hangs. Raises what the sink
        raises.
        """
        marks = list(checkpoints)
        # Else a run whose one stream left is never answered could never be loaded.
        answered = {mark.stream.scope for mark in marks if not mark.readable}
        states = {
            scope: _ScopeState(calls, ever_answered=scope in answered) for scope, calls in self.scopes.items()
        }
        tasks = _Tasks(_fair(marks))
        try:
            together([lambda: self._work(tasks, states)] * self.concurrency, self.concurrency, self.stop)
        finally:
            tasks.close()
        for state in states.values():
            self._fail(() if self.stop.requested else state.over())
        return {scope: state.error for scope, state in states.items() if state.error is not None}

    def _work(self, tasks: _Tasks, states: Mapping[Scope, _ScopeState]) -> None:
        for checkpoint in tasks:
            state = states[checkpoint.stream.scope]
            if self.stop.requested:
                return
            if state.error is None:
                self._read(checkpoint, state)

    def _read(self, checkpoint: Checkpoint, state: _ScopeState) -> None:
        reading = StreamReading(state.calls, self.sink, self.stop)
        try:
            reading.run(checkpoint)
        except InterruptedRunError:
            return
        except LandingError:
            # The sink's, not the scope's: what is read can no longer be kept.
            raise
        except FatalError as error:
            state.broke(error)
            return
        except TransientError as error:
            self._lose(_Lost(reading.last or checkpoint, error), state)
            return
        self._fail(state.answered())

    def _lose(self, lost: _Lost, state: _ScopeState) -> None:
        if self.stop.requested:
            return
        if isinstance(lost.error, MalformedResponseError):
            self._fail([lost])
        else:
            state.lose(lost)

    def _fail(self, streams: Iterable[_Lost]) -> None:
        for each in streams:
            stream = str(each.checkpoint.stream)
            logger.warning("stream_failed", extra={"stream": stream, "reason": str(each.error)})
            self.sink(PageRead((), ended(each.checkpoint, Outcome.FAILED, each.error)))


@dataclass(slots=True)
class StreamReading:
    """Reads one stream to its end. `last` is the newest checkpoint that was handed to the sink."""

    calls: ScopeCalls
    sink: Sink
    stop: Stop
    last: Checkpoint | None = None

    def run(self, checkpoint: Checkpoint) -> None:
        """Go on from the checkpoint until the listing is accepted, given up, or `stop` is set.

        Raises a TransientError whose attempts are used up, and a FatalError; every SkippableError becomes
        the outcome of the stream.
        """
        try:
            self._pages(checkpoint)
        except RequestRejectedError as error:
            current = self.last or checkpoint
            if current.next_token is None or current.reading >= MAX_READINGS:
                self._end(current, Outcome.FAILED, error)
                return
            logger.warning(
                "token_refused", extra={"stream": str(current.stream), "action": "listing starts over"}
            )
            # The newest checkpoint from now on: a refusal without a token must not be taken for the old one's.
            self.last = read_again(current)
            self.run(self.last)
        except ImageNotFoundError as error:
            self._end(self.last or checkpoint, self._missing(checkpoint), error)
        except AccessDeniedError as error:
            self._end(self.last or checkpoint, Outcome.DENIED, error)
        except ListingUnstableError as error:
            self._end(self.last or checkpoint, Outcome.UNSTABLE, error)

    def _pages(self, checkpoint: Checkpoint) -> None:
        current = checkpoint
        seen = _Seen()
        while current.readable and not self.stop.requested:
            answer = self.calls.list_image_versions(
                current.stream.image_name, current.request, current.next_token
            )
            reach(Effect.FETCHED, "ListImageVersions")
            body = answer.body
            step = advance(current, body.ImageVersions, body.NextToken, date_ms=answer.date_ms)
            if step is None or seen.again(body.NextToken, body.ImageVersions):
                current, seen = self._start_over(current), _Seen()
                continue
            current = step.checkpoint
            self.last = current
            self.sink(replace(step, drift=answer.drift) if answer.drift else step)
            seen.require_end(current)

    def _start_over(self, checkpoint: Checkpoint) -> Checkpoint:
        if checkpoint.reading >= MAX_READINGS:
            raise ListingUnstableError(
                f"ListImageVersions of {checkpoint.stream} contradicted itself in {MAX_READINGS} readings: "
                "its rows are kept, its watermark stays, and the next sync reads it again."
            )
        logger.warning("listing_contradicts_itself", extra={"stream": str(checkpoint.stream)})
        self.last = read_again(checkpoint)
        return self.last

    def _missing(self, checkpoint: Checkpoint) -> Outcome:
        try:
            exists = self.calls.image_exists(checkpoint.stream.image_name)
        except AccessDeniedError:
            return Outcome.FAILED
        return Outcome.FAILED if exists else Outcome.GONE

    def _end(self, checkpoint: Checkpoint, outcome: Outcome, error: SkippableError) -> None:
        logger.warning("stream_skipped", extra={"stream": str(checkpoint.stream), "outcome": outcome.value})
        self.last = ended(checkpoint, outcome, error)
        self.sink(PageRead((), self.last))


class _Seen:
    """What one reading has met: a token or a version that comes again is a contradiction."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._versions: set[int] = set()
        self._empty = 0

    def require_end(self, checkpoint: Checkpoint) -> None:
        """Raise ListingUnstableError for a list that goes on and on without a row."""
        if checkpoint.readable and self._empty >= MOST_EMPTY_PAGES:
            raise ListingUnstableError(
                f"ListImageVersions of {checkpoint.stream} gave {self._empty:,} empty pages in a row: its rows are "
                "kept, its watermark stays, and the next sync reads it again."
            )

    def again(self, token: str | None, rows: Sequence[ImageVersion]) -> bool:
        numbers = {row.Version for row in rows}
        repeated = token in self._tokens or not self._versions.isdisjoint(numbers)
        self._versions |= numbers
        self._empty = 0 if rows else self._empty + 1
        if token is not None:
            self._tokens.add(token)
        return repeated


class _Tasks:
    """An iterator that many threads share, and that can be closed."""

    def __init__(self, checkpoints: Iterable[Checkpoint]) -> None:
        self._checkpoints = iter(checkpoints)
        self._lock = threading.Lock()
        self._closed = False

    def __iter__(self) -> Iterator[Checkpoint]:
        return self

    def __next__(self) -> Checkpoint:
        with self._lock:
            if self._closed:
                raise StopIteration
            return next(self._checkpoints)

    def close(self) -> None:
        self._closed = True


def _fair(checkpoints: Iterable[Checkpoint]) -> Iterator[Checkpoint]:
    """The streams with pages left, scopes taking turns."""
    by_scope: dict[Scope, list[Checkpoint]] = {}
    for checkpoint in checkpoints:
        if checkpoint.readable:
            by_scope.setdefault(checkpoint.stream.scope, []).append(checkpoint)
    for turn in zip_longest(*by_scope.values()):
        yield from (checkpoint for checkpoint in turn if checkpoint is not None)


def resumed(
    planned: Iterable[PlannedStream], landed: Mapping[Stream, Checkpoint], *, tokens_live: bool
) -> Iterator[Checkpoint]:
    """Where each planned stream goes on: from its landed checkpoint, or from its start.

    With `tokens_live` false (the run is older than `resume_within`) unfinished streams start over; what
    they had landed stays, as true rows.
    """
    for stream in planned:
        checkpoint = landed.get(stream.stream)
        if checkpoint is None:
            yield begin(stream)
        elif not checkpoint.readable or tokens_live:
            yield checkpoint
        else:
            yield read_again(checkpoint)
