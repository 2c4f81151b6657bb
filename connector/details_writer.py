"""Collects looks from many threads and cuts them into files of details, on one thread of its own.

Must not know AWS or the warehouse.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Self

from connector.details import Look
from connector.errors import LandingError
from connector.landed_details import Answered, DetailsHeader, ScopeCost, write_details
from connector.landing import LandedRun
from connector.model import Calls
from connector.segment_writer import CostsTaken, Cut
from connector.transform import detail_table

_QUEUED = 1000


@dataclass(slots=True)
class _Collected:
    """What the next file will hold; `due` (monotonic seconds) is when it is cut at the latest."""

    looks: list[Look] = field(default_factory=list)
    due: float | None = None


class DetailsWriter:
    """A context manager around the writing thread of one run.

    `put` may be called from any thread and blocks while the writer is behind, which bounds memory. Leaving the
    context cuts the last file, also after an exception in the body; whatever writing raised is raised again
    there, and by `put`.
    """

    def __init__(self, run: LandedRun, *, cut: Cut, costs: CostsTaken) -> None:
        self._folder = run.folder
        self._run_id = run.plan.run_id
        self._number = len(run.details.files)
        self._cut = cut
        self._costs = costs
        self._queue: queue.Queue[Look | None] = queue.Queue(_QUEUED)
        self._failure: LandingError | None = None
        self._thread = threading.Thread(target=self._write, name="details", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._queue.put(None)
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def put(self, look: Look) -> None:
        """Hand over one look. Raises the LandingError that ended writing, if one did."""
        if self._failure is not None:
            raise self._failure
        self._queue.put(look)

    def _write(self) -> None:
        collected = _Collected()
        while (look := self._next(collected)) is not None:
            if isinstance(look, Look):
                collected.looks.append(look)
                collected.due = collected.due or time.monotonic() + self._cut.seconds
            if self._is_due(collected):
                self._flush(collected)
                collected = _Collected()
        self._flush(collected)

    def _next(self, collected: _Collected) -> Look | bool | None:
        """The next look, True when the time to cut has come, or None at the end."""
        patience = None if collected.due is None else max(0.0, collected.due - time.monotonic())
        try:
            return self._queue.get(timeout=patience)
        except queue.Empty:
            return True

    def _is_due(self, collected: _Collected) -> bool:
        overdue = collected.due is not None and time.monotonic() >= collected.due
        return overdue or len(collected.looks) >= self._cut.rows

    def _flush(self, collected: _Collected) -> None:
        if self._failure is None:
            try:
                self._file(collected.looks)
            except LandingError as error:
                self._failure = error

    def _file(self, looks: list[Look]) -> None:
        costs = tuple(ScopeCost(scope, calls) for scope, calls in self._costs().items() if calls != Calls())
        if not looks and not costs:
            return
        self._number += 1
        answered = Counter(look.owed.stream for look in looks if look.answered)
        header = DetailsHeader(
            run_id=self._run_id,
            number=self._number,
            costs=costs,
            answered=tuple(Answered(stream, count) for stream, count in answered.items()),
            troubles=tuple(trouble for look in looks for trouble in look.troubles),
            drift=tuple(drift for look in looks for drift in look.drift),
        )
        write_details(self._folder, header, detail_table([look for look in looks if look.answered]))
