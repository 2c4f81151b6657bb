"""Makes a long run visible in parts while it reads: decides when a part is loaded, and with which scopes.

Must not know the warehouse's SQL, segments, or how anything is read.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from image_history.errors import ConnectorError, InterruptedRunError, LandingError, WarehouseLockedError
from image_history.landing.runs import LandedRun
from image_history.landing.share import Share
from image_history.model import Checkpoint, Scope, Stream

logger = logging.getLogger(__name__)

# A run that fails waits at most so long for a part that is being loaded.
_GRACE_SECONDS = 5.0
# At AWS's rate limit, so many streams of one page take a second.
_FEW_STREAMS = 2


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often parts are loaded while a run goes on; in seconds of `clock`, which must be monotonic.

    Between two loads are at least `part` seconds. If a scope became ready less than `quiet` ago, and an almost read
    scope had an answer less than `quiet` ago, the load waits for it, until `most` at the longest: scopes that are
    read at about the same time are loaded together. Details are loaded every `slices`. A thread checks every `look`
    whether a load is due.
    """

    part: float = 10.0
    most: float = 30.0
    slices: float = 120.0
    quiet: float = 1.0
    look: float = 0.1
    clock: Callable[[], float] = time.monotonic


class Meanwhile:
    """Calls `look` every so many seconds, on a thread of its own, while its `with` block runs.

    An exception from `look` is raised at the end of the block.
    """

    def __init__(self, look: Callable[[], None], seconds: float) -> None:
        self._look = look
        self._seconds = seconds
        self._ended = threading.Event()
        self._failure: BaseException | None = None
        context = copy_context()
        self._thread = threading.Thread(target=context.run, args=(self._work,), name="part", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(None if error is None else _GRACE_SECONDS)
        if error is None and self._failure is not None:
            raise self._failure

    def end(self) -> None:
        """Stop the calls; return when the last one is over."""
        self.__exit__(None, None, None)

    def _work(self) -> None:
        try:
            while not self._ended.wait(self._seconds):
                self._look()
        except InterruptedRunError:
            # The run itself raises this error as well.
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread is joined
            self._failure = error


@dataclass(slots=True)
class Standing:
    """How far each scope is: which of its streams have pages left, and which have no final outcome."""

    _open: dict[Scope, set[Stream]] = field(default_factory=dict)
    _unsettled: dict[Scope, set[Stream]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arrived(self, scopes: Iterable[Scope], marks: Iterable[Checkpoint]) -> None:
        """Note that scopes are read from now on, each stream from its checkpoint."""
        with self._lock:
            for scope in scopes:
                self._open[scope], self._unsettled[scope] = set(), set()
            for mark in marks:
                self._put(mark)

    def put(self, mark: Checkpoint) -> bool:
        """Note how far a stream is; return whether its scope has no pages left."""
        with self._lock:
            return self._put(mark)

    def _put(self, mark: Checkpoint) -> bool:
        unread, unsettled = self._open[mark.stream.scope], self._unsettled[mark.stream.scope]
        _keep(unsettled, mark.stream, not mark.finished)
        _keep(unread, mark.stream, mark.readable)
        return not unread

    def unsettled(self) -> frozenset[Scope]:
        """The scopes that have no pages left, but listings that are not settled."""
        with self._lock:
            return frozenset(
                scope for scope, unread in self._open.items() if not unread and self._unsettled[scope]
            )

    def whole(self) -> frozenset[Scope]:
        """The scopes whose streams all have their final outcome."""
        with self._lock:
            return frozenset(scope for scope, streams in self._unsettled.items() if not streams)

    def nearly_read(self) -> Sequence[Scope]:
        """The scopes in which only a few streams have pages left."""
        with self._lock:
            return [scope for scope, unread in self._open.items() if 0 < len(unread) <= _FEW_STREAMS]


def _keep(streams: set[Stream], stream: Stream, there: bool) -> None:  # noqa: FBT001 - one of two
    if there:
        streams.add(stream)
    else:
        streams.discard(stream)


@dataclass(slots=True)
class Visible:
    """Loads parts of one run. `load` loads a share of the run and returns when, UTC epoch milliseconds.

    After an error in `load`, the next part or the end of the run loads the share. Parts are loaded by one thread at
    a time.
    """

    load: Callable[[LandedRun, Share], int]
    rhythm: Rhythm = field(default_factory=Rhythm)
    standing: Standing = field(default_factory=Standing)
    loaded: frozenset[Scope] = frozenset()
    last: Share = field(default_factory=Share)
    _looked: float = 0.0
    _moved: float = 0.0
    _answered: dict[Scope, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._looked = self._moved = self.rhythm.clock()

    def put(self, mark: Checkpoint) -> None:
        """Note how far a stream is; called from many threads."""
        now = self._answered[mark.stream.scope] = self.rhythm.clock()
        if self.standing.put(mark):
            self._moved = now

    def unsettled(self) -> frozenset[Scope]:
        """The scopes that were read and are neither settled nor loaded."""
        return self.standing.unsettled() - self.loaded

    def whole(self) -> frozenset[Scope]:
        """The scopes that are settled and not loaded yet."""
        return self.standing.whole() - self.loaded

    def is_due(self) -> bool:
        """Whether scopes are to be settled and loaded now."""
        now = self.rhythm.clock()
        waited = now - self._looked
        if waited < self.rhythm.part or not (self.unsettled() or self.whole()):
            return False
        return waited >= self.rhythm.most or not self._others_follow(now - self.rhythm.quiet)

    def _others_follow(self, since: float) -> bool:
        """Whether a scope became ready since then, and an almost read scope had an answer since then."""
        return self._moved > since and any(
            self._answered.get(scope, since) > since for scope in self.standing.nearly_read()
        )

    def details_are_due(self) -> bool:
        """Whether details are to be loaded now; sooner if scopes wait for the same load."""
        return self.rhythm.clock() - self._looked >= (
            self.rhythm.part if self.whole() else self.rhythm.slices
        )

    def attempt(self, work: Callable[[], None]) -> None:
        """Do the work of a part. An error is only logged, and the next part tries again.

        InterruptedRunError and LandingError are raised: they end the run as well.
        """
        try:
            work()
        except (InterruptedRunError, LandingError):
            raise
        except ConnectorError as error:
            level = logging.INFO if isinstance(error, WarehouseLockedError) else logging.WARNING
            logger.log(level, "part_not_loaded", extra={"reason": str(error)})
        finally:
            self._looked = self.rhythm.clock()

    def part(self, run: LandedRun, scopes: frozenset[Scope]) -> None:
        """Load some scopes of the run, and the details that it has so far."""
        loaded_ms = self.load(run, replace(self.last, scopes=scopes))
        self.last = Share(first_file=len(run.details.files), after_ms=loaded_ms)
        self.loaded |= scopes
        logger.info("part_loaded", extra={"run_id": run.plan.run_id, "scopes": len(scopes)})
