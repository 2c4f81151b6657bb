"""Reads and settles a run's listings, and reads some of them again, until all are settled.

Everything that is read goes to the landing folder; must not know SQL, boto3, or how a run is planned or loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from typing import Protocol

from image_history.config import Config
from image_history.errors import FatalError
from image_history.extract.calls import ScopeCalls
from image_history.extract.extractor import Extractor, resumed
from image_history.landing.batch_writer import Cut
from image_history.landing.runs import LandedRun, part_of, proved_deletions, read_on
from image_history.landing.segment_writer import SegmentWriter
from image_history.listing.pages import PageRead, read_again
from image_history.model import Calls, Checkpoint, Outcome, Scope, Stop
from image_history.run.settle import Settler
from image_history.run.visible import Meanwhile, Visible
from image_history.telemetry import span
from image_history.warehouse.findings import Held


class Progress(Protocol):
    """Receives the progress of a run; called from many threads."""

    def stage(self, name: str) -> None:
        """A stage begins: scopes, listing, loading."""

    def planned(self, streams: int) -> None:
        """The number of streams to read grows by `streams`."""

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
    """Scopes that can be read from now on: the run whose plan contains them, and the calls of each scope."""

    run: LandedRun
    calls: Mapping[Scope, ScopeCalls]


@dataclass(slots=True)
class Reading:
    """Reads one run. `hold_against` compares what is landed with the warehouse; `try_against` does so for a part.

    `visible` loads finished scopes while others are read. Each scope is read on at most `threads` threads of its own.
    `now_ms` is the local clock, UTC epoch milliseconds: the tokens of a run older than `resume_within` are not used.
    `lost` are the scopes that were given up.
    """

    config: Config
    hold_against: Callable[[LandedRun], Held]
    try_against: Callable[[LandedRun], Held]
    visible: Visible
    progress: Progress
    stop: Stop
    threads: int
    now_ms: int
    allow_mass_delete: bool = False
    calls: dict[Scope, ScopeCalls] = field(default_factory=dict)
    lost: dict[Scope, FatalError] = field(default_factory=dict)
    _undescribable: set[Scope] = field(default_factory=set)
    _landed: LandedRun | None = None

    def run(self, arrivals: Iterator[Arrival]) -> LandedRun:
        """Read and settle everything that is left of the run; return the run with what is landed then.

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
        """Each scope that arrives, with the checkpoints from which its streams are read."""
        for arrival in arrivals:
            self.calls.update(arrival.calls)
            run = arrival.run
            age_seconds = (self.now_ms - run.plan.started_at_ms) / 1000
            live = age_seconds <= self.config.resume_within.total_seconds()
            planned = [each for each in run.plan.streams if each.stream.scope in arrival.calls]
            landed = {
                stream: judged_anew(mark, allowed=self.allow_mass_delete)
                for stream, mark in run.checkpoints.items()
            }
            marks = list(resumed(planned, landed, tokens_live=live))
            self.visible.standing.arrived(arrival.calls, marks)
            self.progress.planned(sum(not mark.finished for mark in marks))
            yield from _by_scope(marks)

    def _extract(self, run: LandedRun, scopes: Iterable[tuple[Scope, Sequence[Checkpoint]]]) -> LandedRun:
        """Read the streams that have pages left. Raises if every scope was given up."""
        self._landed = run
        with (
            self._writer(run) as writer,
            Extractor(self._watched(self._put(writer)), self.stop, threads=self.threads) as extractor,
            Meanwhile(partial(self._look, writer, extractor), self.visible.rhythm.look) as meanwhile,
        ):
            for scope, marks in scopes:
                extractor.begin(scope, self.calls[scope], marks)
            extractor.finish()
            meanwhile.end()
            # Settling may have started second readings of some streams.
            self.lost.update(extractor.finish())
        return self._gone_on()

    def _gone_on(self) -> LandedRun:
        self.stop.check()
        if self.lost and len(self.lost) == len(self.calls):
            raise next(iter(self.lost.values()))
        return self._read_on()

    def _read_on(self) -> LandedRun:
        """The run with all that is landed so far; called by one thread at a time."""
        if self._landed is None:
            raise ValueError("nothing has been read yet")
        self._landed = read_on(self._landed)
        return self._landed

    def _look(self, writer: SegmentWriter, extractor: Extractor | None) -> None:
        """Settle and load the scopes that were read, if a part is due."""
        if self.visible.is_due():
            self.visible.attempt(partial(self._part, writer, extractor))

    def _part(self, writer: SegmentWriter, extractor: Extractor | None) -> None:
        if extractor is not None and (read := self.visible.unsettled() - self.lost.keys()):
            self._settle_part(frozenset(read), writer, extractor)
        if whole := self.visible.whole():
            writer.cut()
            self.visible.part(self._read_on(), whole)

    def _settle_part(self, scopes: frozenset[Scope], writer: SegmentWriter, extractor: Extractor) -> None:
        """Settle scopes that were read, while others are read; contradictory listings are read again at once."""
        writer.cut()
        run = part_of(self._read_on(), scopes)
        with span("settle", streams=len(run.plan.streams)):
            again = self._verdicts(run, self._waiting(run), self.try_against(run), self._put(writer))
        for scope, marks in _by_scope(again):
            extractor.begin(scope, self.calls[scope], marks)

    def _waiting(self, run: LandedRun) -> Sequence[Checkpoint]:
        """The listings in outcome READ or MISSING whose scopes were not given up."""
        answering = dict(self.calls).keys() - self.lost.keys()
        read = (mark for mark in run.checkpoints.values() if mark.outcome in {Outcome.READ, Outcome.MISSING})
        return [mark for mark in read if mark.stream.scope in answering]

    def _settle(
        self, run: LandedRun, waiting: Sequence[Checkpoint]
    ) -> tuple[LandedRun, Sequence[Checkpoint]]:
        """Settle one round; return the run with its verdicts, and the listings to read again."""
        held = self.hold_against(run)
        with (
            self._writer(run) as writer,
            Meanwhile(partial(self._look, writer, None), self.visible.rhythm.look),
        ):
            again = self._verdicts(run, waiting, held, self._put(writer))
        return self._gone_on(), again

    def _verdicts(
        self, run: LandedRun, waiting: Sequence[Checkpoint], held: Held, sink: Callable[[PageRead], None]
    ) -> Sequence[Checkpoint]:
        settler = Settler(
            dict(self.calls),
            sink,
            self.stop,
            self.config.concurrency,
            self.allow_mass_delete,
            undescribable=self._undescribable,
        )
        scopes = {mark.stream.scope for mark in waiting}
        # Scopes without a waiting listing were judged before, and may be loaded: their deletions no longer count.
        settled = {
            mark: count for mark, count in proved_deletions(run).items() if mark.stream.scope in scopes
        }
        again = settler.settle(waiting, held.findings, held.live, settled)
        self.lost.update(settler.lost)
        return [mark for mark in again if mark.stream.scope not in self.lost]

    def _put(self, writer: SegmentWriter) -> Callable[[PageRead], None]:
        def put(page: PageRead) -> None:
            writer.put(page)
            self.visible.put(page.checkpoint)

        return put

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


def judged_anew(mark: Checkpoint, *, allowed: bool) -> Checkpoint:
    """The checkpoint; one that was held back is read again if mass deletion is `allowed` now."""
    return read_again(mark) if allowed and mark.outcome is Outcome.HELD_BACK else mark


def _by_scope(marks: Iterable[Checkpoint]) -> Iterable[tuple[Scope, Sequence[Checkpoint]]]:
    by_scope: dict[Scope, list[Checkpoint]] = {}
    for mark in marks:
        by_scope.setdefault(mark.stream.scope, []).append(mark)
    return by_scope.items()
