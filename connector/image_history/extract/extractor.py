"""Reads the streams of many scopes, with separate threads for each scope.

Hands each page with the checkpoint after it to a sink; must not know segments, Arrow or the warehouse.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self

from image_history.errors import (
    FatalError,
    InterruptedRunError,
    LandingError,
    MalformedResponseError,
    SourceError,
    ThrottledError,
    TransientError,
)
from image_history.extract.calls import ScopeCalls
from image_history.extract.streams import StreamReading
from image_history.extract.workers import Workers
from image_history.listing.pages import PageRead, Sink, begin, ended, read_again
from image_history.model import Checkpoint, Outcome, PlannedStream, Scope, Stop, Stream
from image_history.telemetry import note, span

logger = logging.getLogger(__name__)

_STREAMS_LOST_BEFORE_SCOPE_IS_DOWN = 3
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Lost:
    """A stream whose last call failed in every attempt."""

    checkpoint: Checkpoint
    error: TransientError


@dataclass(slots=True)
class _ScopeState:
    """A scope's pending streams, and whether AWS still answers for the scope.

    A scope is given up when several streams in a row got no answer at all. Those streams stay as they are, and the
    next sync continues them. A stream without an answer counts as failed only if other streams of its scope are
    answered.
    """

    calls: ScopeCalls
    waiting: deque[Checkpoint]
    lost: list[_Lost] = field(default_factory=list)
    ever_answered: bool = False
    error: FatalError | None = None
    threads: int = 0
    left: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self) -> Checkpoint | None:
        """The next stream to read, None if none is left or the scope is given up."""
        with self.lock:
            return self.waiting.popleft() if self.waiting and self.error is None else None

    def enter(self, most: int) -> int:
        """Raise the number of threads to `most`, and return how many to start; 0 if the last thread has ended."""
        with self.lock:
            coming = 0 if self.left else max(0, most - self.threads)
            self.threads += coming
            return coming

    def spare(self, of_use: int) -> bool:
        """Whether the calling thread is one too many. It then ends, without being the last one."""
        with self.lock:
            freed = self.threads > max(1, of_use)
            self.threads -= freed
            return freed

    def leave(self) -> bool:
        """A thread of the scope ends; True if it was the last one."""
        with self.lock:
            self.threads -= 1
            self.left = self.threads == 0
            return self.left

    def answered(self) -> Sequence[_Lost]:
        """Record that a stream was read. Return the streams lost before it, which now have failed."""
        with self.lock:
            self.ever_answered = True
            failed, self.lost = self.lost, []
            return failed

    def lose(self, lost: _Lost) -> None:
        """Record a stream without an answer; too many of them in a row give up the scope."""
        with self.lock:
            self.lost.append(lost)
            if len(self.lost) >= _STREAMS_LOST_BEFORE_SCOPE_IS_DOWN:
                self._give_up()

    def over(self) -> Sequence[_Lost]:
        """All streams were tried. Return those that have failed; none if the scope is given up.

        Throttling never concerns one stream only, so a scope that is still throttled at the end is given up as
        well.
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


class Extractor:
    """Reads streams concurrently into `sink`, which must be safe to call from many threads.

    Each scope has at most `threads` threads of its own, so that a scope which is slow, throttled or without answers
    does not delay others. Scopes may be added while others are read. A context manager: after its body has ended,
    or failed, no new call is begun.
    """

    def __init__(self, sink: Sink, stop: Stop, *, threads: int) -> None:
        self._sink = sink
        self._stop = stop
        self._threads = threads
        self._workers = Workers(stop)
        self._states: dict[Scope, _ScopeState] = {}
        self._left = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._left.set()
        self._workers.close()

    def begin(self, scope: Scope, calls: ScopeCalls, checkpoints: Iterable[Checkpoint]) -> None:
        """Begin to read the scope's unfinished streams on from their checkpoints; return at once."""
        marks = list(checkpoints)
        # Streams that are already read count as answers. Otherwise a run whose only remaining stream gets no answer
        # could never be loaded.
        answered = any(not mark.readable for mark in marks)
        state = _ScopeState(calls, deque(mark for mark in marks if mark.readable), ever_answered=answered)
        self._states[scope] = state
        self._come(state, min(self._of_use(state), len(state.waiting)))

    def finish(self) -> Mapping[Scope, FatalError]:
        """Wait until everything begun so far is read; return the scopes that were given up.

        Returns soon after a stop, even if a call hangs. Raises what the sink raises.
        """
        self._workers.wait()
        return {scope: state.error for scope, state in list(self._states.items()) if state.error is not None}

    def _watch(self) -> None:
        """Start threads in place of those whose call hangs, or that wait before a retry."""
        while not self._left.wait(_LOOK_SECONDS):
            for state in list(self._states.values()):
                if state.error is None and not self._workers.over:
                    self._come(state, min(self._of_use(state), state.threads + len(state.waiting)))

    def _come(self, state: _ScopeState, most: int) -> None:
        for _ in range(state.enter(most)):
            self._workers.start(partial(self._work, state))

    def _of_use(self, state: _ScopeState) -> int:
        return min(self._threads, state.calls.threads_of_use)

    def _work(self, state: _ScopeState) -> None:
        while not self._workers.over and (checkpoint := state.next()) is not None:
            self._read(checkpoint, state)
            of_use = self._of_use(state)
            if state.spare(of_use):
                return
            self._come(state, min(of_use, state.threads + len(state.waiting)))
        if state.leave() and not self._workers.over:
            self._fail(state.over())

    def _read(self, checkpoint: Checkpoint, state: _ScopeState) -> None:
        reading = StreamReading(state.calls, self._sink, self._stop)
        stream = checkpoint.stream
        try:
            with span("list", scope=str(stream.scope), stream=str(stream)):
                reading.run(checkpoint)
                last = reading.last or checkpoint
                note(outcome=last.outcome.value, pages=last.pages, rows=last.rows)
        except InterruptedRunError:
            return
        except LandingError:
            # The sink has failed, not the scope: rows can no longer be kept.
            raise
        except FatalError as error:
            state.broke(error)
            return
        except TransientError as error:
            self._lose(_Lost(reading.last or checkpoint, error), state)
            return
        self._fail(state.answered())

    def _lose(self, lost: _Lost, state: _ScopeState) -> None:
        if self._stop.requested:
            return
        if isinstance(lost.error, MalformedResponseError):
            self._fail([lost])
        else:
            state.lose(lost)

    def _fail(self, streams: Iterable[_Lost]) -> None:
        for each in streams:
            stream = str(each.checkpoint.stream)
            logger.warning("stream_failed", extra={"stream": stream, "reason": str(each.error)})
            self._sink(PageRead((), ended(each.checkpoint, Outcome.FAILED, each.error)))


def resumed(
    planned: Iterable[PlannedStream], landed: Mapping[Stream, Checkpoint], *, tokens_live: bool
) -> Iterator[Checkpoint]:
    """The checkpoint at which each planned stream continues: the one that was landed, or its start.

    With `tokens_live` false (the run is older than `resume_within`) unfinished streams start over. Their landed
    rows are kept, since they are true.
    """
    for stream in planned:
        checkpoint = landed.get(stream.stream)
        if checkpoint is None:
            yield begin(stream)
        elif not checkpoint.readable or tokens_live:
            yield checkpoint
        else:
            yield read_again(checkpoint)
