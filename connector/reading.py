"""Reads a run's listings to their end and has them settled, as often as it takes.

Lands everything on its way; must not know SQL, boto3, or how a run is planned or loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from connector.acceptance import PageRead
from connector.config import Config
from connector.extract.calls import ScopeCalls
from connector.extract.extractor import Extractor, resumed
from connector.landing import LandedRun, read_run
from connector.load.findings import Held
from connector.model import Calls, Checkpoint, Outcome, Scope, Stop
from connector.segment_writer import Cut, SegmentWriter
from connector.settle import Settler


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


@dataclass(slots=True)
class Reading:
    """Reads one run. `hold_against` compares what is landed with the warehouse.

    `spared` counts, by scope, the deletions that the mass-delete breaker held back.
    """

    config: Config
    calls: Mapping[Scope, ScopeCalls]
    hold_against: Callable[[LandedRun], Held]
    progress: Progress
    stop: Stop
    allow_mass_delete: bool = False
    spared: dict[Scope, int] = field(default_factory=dict)

    def run(self, run: LandedRun, *, now_ms: int) -> LandedRun:
        """Read and settle everything that the run has left; return what is landed then.

        `now_ms` is the local clock, UTC epoch milliseconds: a run older than `resume_within` uses none of
        its tokens. Raises InterruptedRunError, the FatalError of the last scope that was given up, or what
        `hold_against` raises; what was read by then is landed.
        """
        age_seconds = (now_ms - run.plan.started_at_ms) / 1000
        live = age_seconds <= self.config.resume_within.total_seconds()
        marks: Sequence[Checkpoint] = list(resumed(run.plan.streams, run.checkpoints, tokens_live=live))
        self.progress.planned(sum(not mark.finished for mark in marks))
        self.progress.stage("listing")
        current = run
        while True:
            current = self._extract(current, [mark for mark in marks if mark.stream.scope in self.calls])
            waiting = [mark for mark in current.checkpoints.values() if mark.outcome is Outcome.READ]
            if not waiting:
                return current
            current, marks = self._settle(current, waiting)
            if not marks:
                return current

    def _extract(self, run: LandedRun, marks: Sequence[Checkpoint]) -> LandedRun:
        """Read the streams that have pages left. Raises if no scope answers any more."""
        if not any(mark.readable for mark in marks):
            return run
        with self._writer(run) as writer:
            sink = self._watched(writer.put)
            lost = Extractor(self.calls, sink, self.stop, self.config.concurrency).run(marks)
        self.stop.check()
        if lost and len(lost) == len(self.calls):
            raise next(iter(lost.values()))
        return read_run(run.folder)

    def _settle(
        self, run: LandedRun, waiting: Sequence[Checkpoint]
    ) -> tuple[LandedRun, Sequence[Checkpoint]]:
        """One round of verdicts; returns the run with them, and the listings to read again."""
        held = self.hold_against(run)
        with self._writer(run) as writer:
            settler = Settler(
                self.calls, writer.put, self.stop, self.config.concurrency, self.allow_mass_delete
            )
            again = settler.settle(waiting, held.findings, held.live)
        for scope, count in settler.spared.items():
            self.spared[scope] = max(count, self.spared.get(scope, 0))
        return read_run(run.folder), again

    def _writer(self, run: LandedRun) -> SegmentWriter:
        cut = Cut(self.config.checkpoint_rows, self.config.checkpoint_seconds)
        return SegmentWriter(run, cut=cut, costs=self._costs)

    def _costs(self) -> Mapping[Scope, Calls]:
        return {scope: calls.meter.take() for scope, calls in self.calls.items()}

    def _watched(self, sink: Callable[[PageRead], None]) -> Callable[[PageRead], None]:
        def put(page: PageRead) -> None:
            sink(page)
            self.progress.page(page)

        return put
