"""Collects pages from many threads and cuts them into segments, in order, on one thread of its own.

Order matters: a later segment's checkpoint must never be visible before an earlier segment's rows. Must
not know AWS or the warehouse.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from connector.acceptance import PageRead
from connector.errors import LandingError
from connector.landed_details import ScopeCost
from connector.landing import LandedRun, SegmentHeader, write_segment
from connector.model import Absence, Calls, Checkpoint, Drift, Scope, Stream
from connector.transform import VersionPage, version_table

_QUEUED_PAGES = 64

CostsTaken = Callable[[], Mapping[Scope, Calls]]


@dataclass(frozen=True, slots=True)
class Cut:
    """When a segment is cut: at so many rows, or so many seconds after its first page."""

    rows: int = 10_000
    seconds: float = 5.0


@dataclass(slots=True)
class _Collected:
    """What the next segment will hold."""

    pages: list[VersionPage] = field(default_factory=list)
    checkpoints: dict[Stream, Checkpoint] = field(default_factory=dict)
    absences: list[Absence] = field(default_factory=list)
    drift: list[Drift] = field(default_factory=list)
    rows: int = 0
    due: float | None = None


class SegmentWriter:
    """A context manager around the writing thread of one run.

    `put` may be called from any thread and blocks while the writer is behind, which bounds memory. Leaving
    the context cuts the last segment, also after an exception in the body; whatever writing raised is
    raised again there, and by `put`.
    """

    def __init__(self, run: LandedRun, *, cut: Cut, costs: CostsTaken) -> None:
        self._folder: Path = run.folder
        self._run_id = run.plan.run_id
        self._number = len(run.segments)
        self._cut = cut
        self._costs = costs
        self._queue: queue.Queue[PageRead | None] = queue.Queue(_QUEUED_PAGES)
        self._failure: LandingError | None = None
        self._thread = threading.Thread(target=self._write, name="segments", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def put(self, page: PageRead) -> None:
        """Hand over one page. Raises the LandingError that ended writing, if one did."""
        if self._failure is not None:
            raise self._failure
        self._queue.put(page)

    def _write(self) -> None:
        collected = _Collected()
        while (page := self._next(collected)) is not None:
            if isinstance(page, PageRead):
                self._collect(collected, page)
            if self._is_due(collected):
                collected = self._flush(collected)
        self._flush(collected)

    def _next(self, collected: _Collected) -> PageRead | bool | None:
        """The next page, True when the time to cut has come, or None at the end."""
        patience = None if collected.due is None else max(0.0, collected.due - time.monotonic())
        try:
            return self._queue.get(timeout=patience)
        except queue.Empty:
            return True

    def _collect(self, collected: _Collected, page: PageRead) -> None:
        checkpoint = page.checkpoint
        collected.checkpoints[checkpoint.stream] = checkpoint
        collected.absences += page.absences
        collected.drift += page.drift
        if page.rows:
            landed = VersionPage(checkpoint.stream, page.rows, checkpoint.reading, checkpoint.pages)
            collected.pages.append(landed)
            collected.rows += len(page.rows)
        if collected.due is None:
            collected.due = time.monotonic() + self._cut.seconds

    def _is_due(self, collected: _Collected) -> bool:
        if collected.due is None:
            return False
        return collected.rows >= self._cut.rows or time.monotonic() >= collected.due

    def _flush(self, collected: _Collected) -> _Collected:
        if self._failure is None:
            try:
                self._segment(collected)
            except LandingError as error:
                self._failure = error
        return _Collected()

    def _segment(self, collected: _Collected) -> None:
        costs = tuple(ScopeCost(scope, calls) for scope, calls in self._costs().items() if calls != Calls())
        if not collected.checkpoints and not costs:
            return
        self._number += 1
        checkpoints = tuple(collected.checkpoints.values())
        header = SegmentHeader(
            self._run_id, self._number, checkpoints, costs, tuple(collected.absences), tuple(collected.drift)
        )
        write_segment(self._folder, header, version_table(collected.pages))
