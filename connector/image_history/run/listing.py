"""Reads a run's listings to their end and has them settled, as often as it takes.

Lands everything on its way; must not know SQL, boto3, or how a run is planned or loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

from image_history.config import Config
from image_history.errors import FatalError
from image_history.extract.calls import ScopeCalls
from image_history.extract.extractor import Extractor, resumed
from image_history.landing.batch_writer import Cut
from image_history.landing.runs import LandedRun, proved_deletions, read_run
from image_history.landing.segment_writer import SegmentWriter
from image_history.listing.pages import PageRead, read_again
from image_history.model import Calls, Checkpoint, Outcome, Scope, Stop
from image_history.run.settle import Settler
from image_history.telemetry import span
from image_history.warehouse.findings import Held


class Progress(Protocol):
    """Hears how a run gets on; called from many threads."""

    def stage(self, name: str) -> None:
        """A stage begins: scopes, listing, loading."""

    def planned(self, streams: int) -> None:
        """So many more streams are left to read."""

    def page(self, page: PageRead) -> None:
        """A page was read."""


class Silent:
    """A Progress that shows nothing."""

    def stage(self, name: str) -> None:
        """Ignore the stage."""

    def planned(self, streams: int) -> None:
        """Ignore the number."""

    def page(self, page: PageRead) -> None:
        """Ignore the page."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Scopes that can be read from now on: the run, whose plan has them, and the calls of each."""

    run: LandedRun
    calls: Mapping[Scope, ScopeCalls]


@dataclass(slots=True)
class Reading:
    """Reads one run. `hold_against` compares what is landed with the warehouse.

    Each scope is read on `threads` threads of its own at the most. `now_ms` is the local clock, UTC epoch
    milliseconds: a run older than `resume_within` uses none of its tokens. `lost` are the scopes that had to be
    given up.
    """

    config: Config
    hold_against: Callable[[LandedRun], Held]
    progress: Progress
    stop: Stop
    threads: int
    now_ms: int
    allow_mass_delete: bool = False
    calls: dict[Scope, ScopeCalls] = field(default_factory=dict)
    lost: dict[Scope, FatalError] = field(default_factory=dict)

    def run(self, arrivals: Iterator[Arrival]) -> LandedRun:
        """Read and settle everything that the run has left; return what is landed then.

        Scopes are read as they arrive. Raises InterruptedRunError, the FatalError of the last scope that was
        given up, or what `arrivals` and `hold_against` raise; what was read by then is landed.
        """
        first = next(arrivals)
        self.progress.stage("listing")
        current = self._extract(first.run, self._begun(chain([first], arrivals)))
        while waiting := self._waiting(current):
            with span("settle", streams=len(waiting)):
                current, again = self._settle(current, waiting)
            if not again:
                break
            current = self._extract(current, _by_scope(again))
        return current

    def _begun(self, arrivals: Iterable[Arrival]) -> Iterator[tuple[Scope, Sequence[Checkpoint]]]:
        """Where each scope that arrives goes on."""
        for arrival in arrivals:
            self.calls.update(arrival.calls)
            run = arrival.run
            age_seconds = (self.now_ms - run.plan.started_at_ms) / 1000
            live = age_seconds <= self.config.resume_within.total_seconds()
            planned = [each for each in run.plan.streams if each.stream.scope in arrival.calls]
            landed = {stream: self._judged_anew(mark) for stream, mark in run.checkpoints.items()}
            marks = list(resumed(planned, landed, tokens_live=live))
            self.progress.planned(sum(not mark.finished for mark in marks))
            yield from _by_scope(marks)

    def _judged_anew(self, mark: Checkpoint) -> Checkpoint:
        """What an interrupted run held back is read again once it is allowed."""
        allowed = mark.outcome is Outcome.HELD_BACK and self.allow_mass_delete
        return read_again(mark) if allowed else mark

    def _extract(self, run: LandedRun, scopes: Iterable[tuple[Scope, Sequence[Checkpoint]]]) -> LandedRun:
        """Read the streams that have pages left. Raises if no scope answers any more."""
        with (
            self._writer(run) as writer,
            Extractor(self._watched(writer.put), self.stop, threads=self.threads) as extractor,
        ):
            for scope, marks in scopes:
                extractor.begin(scope, self.calls[scope], marks)
            self.lost.update(extractor.finish())
        return self._gone_on(run)

    def _gone_on(self, run: LandedRun) -> LandedRun:
        self.stop.check()
        if self.lost and len(self.lost) == len(self.calls):
            raise next(iter(self.lost.values()))
        return read_run(run.folder)

    def _waiting(self, run: LandedRun) -> Sequence[Checkpoint]:
        """The listings that were read, or have no image, and can be settled."""
        answering = self.calls.keys() - self.lost.keys()
        read = (mark for mark in run.checkpoints.values() if mark.outcome in {Outcome.READ, Outcome.MISSING})
        return [mark for mark in read if mark.stream.scope in answering]

    def _settle(
        self, run: LandedRun, waiting: Sequence[Checkpoint]
    ) -> tuple[LandedRun, Sequence[Checkpoint]]:
        """One round of verdicts; returns the run with them, and the listings to read again."""
        held = self.hold_against(run)
        with self._writer(run) as writer:
            settler = Settler(
                self.calls, writer.put, self.stop, self.config.concurrency, self.allow_mass_delete
            )
            again = settler.settle(waiting, held.findings, held.live, proved_deletions(run))
        self.lost.update(settler.lost)
        return self._gone_on(run), [mark for mark in again if mark.stream.scope not in self.lost]

    def _writer(self, run: LandedRun) -> SegmentWriter:
        cut = Cut(self.config.checkpoint_rows, self.config.checkpoint_seconds)
        return SegmentWriter(run, cut=cut, costs=self._costs)

    def _costs(self) -> Mapping[Scope, Calls]:
        return {scope: calls.meter.take() for scope, calls in list(self.calls.items())}

    def _watched(self, sink: Callable[[PageRead], None]) -> Callable[[PageRead], None]:
        def put(page: PageRead) -> None:
            sink(page)
            self.progress.page(page)

        return put


def _by_scope(marks: Iterable[Checkpoint]) -> Iterable[tuple[Scope, Sequence[Checkpoint]]]:
    by_scope: dict[Scope, list[Checkpoint]] = {}
    for mark in marks:
        by_scope.setdefault(mark.stream.scope, []).append(mark)
    return by_scope.items()
