"""Lets what was read be seen while more is read: when a part of a run is loaded, and of which scopes it is.

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

# A run that fails waits no longer for what it does meanwhile.
_GRACE_SECONDS = 5.0
# So many streams of one page take a second at AWS's pace.
_FEW_STREAMS = 2


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How often parts are loaded while a run goes on; in seconds of `clock`, which only ever grows.

    `part` lies between two loads at least. While scopes become ready, each within `quiet` of the one before, those
    that are nearly read are waited for until `most`: what is read at about the same time is loaded together. Of
    details there is a load every `slices`. It is looked every `look`.
    """

    part: float = 10.0
    most: float = 30.0
    slices: float = 120.0
    quiet: float = 1.0
    look: float = 0.1
    clock: Callable[[], float] = time.monotonic


class Meanwhile:
    """Calls `look` every so many seconds, on a thread of its own, while its `with` block runs.

    What it raises is raised at the end of the block.
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
        """Return when the last look is over."""
        self.__exit__(None, None, None)

    def _work(self) -> None:
        try:
            while not self._ended.wait(self._seconds):
                self._look()
        except InterruptedRunError:
            # The run itself ends with it as well.
            return
        except BaseException as error:  # noqa: BLE001 - it is raised where the thread is waited for
            self._failure = error


@dataclass(slots=True)
class Standing:
    """How far each scope is: which of its streams have pages left, and which no final outcome."""

    _open: dict[Scope, set[Stream]] = field(default_factory=dict)
    _unsettled: dict[Scope, set[Stream]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def arrived(self, scopes: Iterable[Scope], marks: Iterable[Checkpoint]) -> None:
        """Scopes are read from now on, each stream from its mark."""
        with self._lock:
            for scope in scopes:
                self._open[scope], self._unsettled[scope] = set(), set()
            for mark in marks:
                self._put(mark)

    def put(self, mark: Checkpoint) -> bool:
        """A stream is so far; whether its scope has no pages left by that."""
        with self._lock:
            return self._put(mark)

    def _put(self, mark: Checkpoint) -> bool:
        unread, unsettled = self._open[mark.stream.scope], self._unsettled[mark.stream.scope]
        _keep(unsettled, mark.stream, not mark.finished)
        _keep(unread, mark.stream, mark.readable)
        return not unread

    def unsettled(self) -> frozenset[Scope]:
        """The scopes that are read and can be settled."""
        with self._lock:
            return frozenset(
                scope for scope, unread in self._open.items() if not unread and self._unsettled[scope]
            )

    def whole(self) -> frozenset[Scope]:
        """The scopes whose streams all have their final outcome."""
        with self._lock:
            return frozenset(scope for scope, streams in self._unsettled.items() if not streams)

    def nearly_read(self) -> Sequence[Scope]:
        """The scopes of which few streams have pages left."""
        with self._lock:
            return [scope for scope, unread in self._open.items() if 0 < len(unread) <= _FEW_STREAMS]


def _keep(streams: set[Stream], stream: Stream, there: bool) -> None:  # noqa: FBT001 - one of two
    if there:
        streams.add(stream)
    else:
        streams.discard(stream)


@dataclass(slots=True)
class Visible:
    """The parts of one run that this sync loads. `load` loads a share of the run.

    It returns when that was, UTC epoch milliseconds. What it raises only means that the next part, or the end of the
    run, has to do it. One thread at a time.
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
        """A stream is so far; called from many threads."""
        now = self._answered[mark.stream.scope] = self.rhythm.clock()
        if self.standing.put(mark):
            self._moved = now

    def unsettled(self) -> frozenset[Scope]:
        """The scopes that were read and are not settled."""
        return self.standing.unsettled() - self.loaded

    def whole(self) -> frozenset[Scope]:
        """The scopes that can be loaded."""
        return self.standing.whole() - self.loaded

    def is_due(self) -> bool:
        """Whether scopes are to be loaded now, or settled for it."""
        now = self.rhythm.clock()
        waited = now - self._looked
        if waited < self.rhythm.part or not (self.unsettled() or self.whole()):
            return False
        return waited >= self.rhythm.most or not self._others_follow(now - self.rhythm.quiet)

    def _others_follow(self, since: float) -> bool:
        """Whether a scope became ready since then, and another one that was answered since then soon will be."""
        return self._moved > since and any(
            self._answered.get(scope, since) > since for scope in self.standing.nearly_read()
        )

    def details_are_due(self) -> bool:
        """Whether details are to be loaded now: sooner where scopes wait for the same load."""
        return self.rhythm.clock() - self._looked >= (
            self.rhythm.part if self.whole() else self.rhythm.slices
        )

    def attempt(self, work: Callable[[], None]) -> None:
        """Do what a part takes. What fails is left to the next one, but for what ends the run as well."""
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
        """Load some scopes of the run, and its details so far."""
        loaded_ms = self.load(run, replace(self.last, scopes=scopes))
        self.last = Share(first_file=len(run.details.files), after_ms=loaded_ms)
        self.loaded |= scopes
        logger.info("part_loaded", extra={"run_id": run.plan.run_id, "scopes": len(scopes)})
