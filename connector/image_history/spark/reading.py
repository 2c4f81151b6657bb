"""Reads one pack: the rows of each stream whose listing was read whole, and of no other.

The page loop, the rates, the retries and the verdicts are those of a sync. Must not know Spark.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import partial
from itertools import groupby
from queue import SimpleQueue
from typing import TYPE_CHECKING

from image_history.aws.bodies import ImageVersion
from image_history.aws.deadline import Callers
from image_history.aws.sessions import Logins
from image_history.counting import counted
from image_history.errors import ConnectorError, FatalError, SourceError
from image_history.extract.calls import ScopeCalls
from image_history.extract.extractor import Extractor
from image_history.extract.scopes import threads_of_a_scope
from image_history.extract.workers import together
from image_history.landing.rows import VersionPage, version_table
from image_history.listing.alone import Listed
from image_history.listing.pages import PageRead, begin
from image_history.listing.verdict import Findings, Step, next_step
from image_history.model import (
    Checkpoint,
    ListingKind,
    ListingRequest,
    Outcome,
    PlannedStream,
    Scope,
    Stop,
    Stream,
)
from image_history.run.settle import Settler
from image_history.spark.options import Wanted
from image_history.spark.packs import Pack, Planned

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)

# How many images a log line names.
_NAMED = 10
# An image that was deleted meanwhile has no rows; DescribeImage has confirmed that it is gone.
_WHOLE = frozenset({Outcome.COMPLETE, Outcome.GONE})


def tables(pack: Pack, wanted: Wanted, stop: Stop) -> Iterator[pa.Table]:
    """The rows of a pack, one table a stream, in the order in which the listings end.

    ConnectorError for the first scope or stream that cannot be read whole, unless failures are skipped. Request
    `stop` to end the threads.
    """
    reading = _Reading(wanted, stop)
    return reading.tables(pack)


@dataclass(slots=True)
class _Reading:
    """One pack while it is read. Pages come from many threads; the thread that takes the tables does the rest."""

    wanted: Wanted
    stop: Stop
    calls: dict[Scope, ScopeCalls] = field(default_factory=dict)
    listed: dict[Stream, Listed] = field(default_factory=dict)
    ended: SimpleQueue[Checkpoint | _Over] = field(default_factory=SimpleQueue)
    given: dict[Scope, Counter[str]] = field(default_factory=dict)

    def tables(self, pack: Pack) -> Iterator[pa.Table]:
        marks = [mark for each in self._opened(pack) for mark in each]
        while marks:
            unsettled: list[Checkpoint] = []
            for mark in self._extracted(marks):
                if mark.outcome is Outcome.READ and self._step(mark) is Step.ACCEPT:
                    yield from self._rows(mark, ())
                elif mark.outcome in {Outcome.READ, Outcome.MISSING}:
                    unsettled.append(mark)
                else:
                    self._failed(mark.stream, mark.error_message or mark.outcome.value)
            # Listings of a scope that was given up cannot be settled.
            verdicts, again, lost = self._settled(
                [mark for mark in unsettled if mark.stream.scope in self.calls]
            )
            marks = sorted(again, key=lambda mark: mark.stream.scope)
            for verdict in verdicts:
                yield from self._judged(verdict)
            for scope, error in lost.items():
                self._lost(scope, error)

    def _opened(self, pack: Pack) -> Sequence[Sequence[Checkpoint]]:
        callers, logins = Callers(self.wanted.config.concurrency), Logins()
        by_access = groupby(pack.scopes, lambda planned: planned.target.access)
        for access, some in by_access:
            logins.of(access, *(planned.target.region for planned in some))
        jobs = [partial(self._begun, planned, logins, callers) for planned in pack.scopes]
        return together(jobs, max(1, min(self.wanted.config.concurrency, len(jobs))), self.stop)

    def _begun(self, planned: Planned, logins: Logins, callers: Callers) -> Sequence[Checkpoint]:
        """The first checkpoints of a scope's listings: each image is listed in full, since nothing is known of it."""
        try:
            opened = planned.opened(logins, self.wanted, self.stop, callers)
            images = [image.ImageName for image in opened.images().images if self._matches(image.ImageName)]
        except ConnectorError as error:
            self._failed(planned.scope, str(error), error)
            return ()
        self.calls[opened.scope] = opened.calls
        request = ListingRequest(ListingKind.FULL, self.wanted.config.page_size)
        streams = [Stream(opened.scope, name) for name in images]
        self.listed.update((stream, Listed()) for stream in streams)
        return [begin(PlannedStream(stream, request)) for stream in streams]

    def _matches(self, name: str) -> bool:
        return not self.wanted.images or any(fnmatchcase(name, glob) for glob in self.wanted.images)

    def _extracted(self, marks: Sequence[Checkpoint]) -> Iterator[Checkpoint]:
        """Yield the listings as they come to an end."""
        threading.Thread(target=self._extract, args=(marks,), name="pack", daemon=True).start()
        while not isinstance(mark := self.ended.get(), _Over):
            yield mark
        if mark.failure is not None:
            raise mark.failure
        for scope, error in mark.lost.items():
            self._lost(scope, error)
            self.calls.pop(scope)

    def _extract(self, marks: Sequence[Checkpoint]) -> None:
        threads = threads_of_a_scope(self.wanted.config, len(self.calls))
        try:
            with Extractor(self._take, self.stop, threads=threads) as extractor:
                for scope, some in groupby(marks, lambda mark: mark.stream.scope):
                    extractor.begin(scope, self.calls[scope], some)
                self.ended.put(_Over(lost=dict(extractor.finish())))
        except BaseException as error:  # noqa: BLE001 - it is raised where the tables are taken
            self.ended.put(_Over(failure=error))

    def _take(self, page: PageRead) -> None:
        self.listed[page.checkpoint.stream].take(page)
        if not page.checkpoint.readable:
            self.ended.put(page.checkpoint)

    def _findings(self, mark: Checkpoint) -> Findings:
        return self.listed[mark.stream].findings(mark)

    def _step(self, mark: Checkpoint) -> Step:
        return next_step(mark, self._findings(mark), may_describe=True)

    def _settled(
        self, marks: Sequence[Checkpoint]
    ) -> tuple[Sequence[PageRead], Sequence[Checkpoint], Mapping[Scope, FatalError]]:
        """The verdicts on suspect listings, the listings to read again, and the scopes that were given up."""
        verdicts: SimpleQueue[PageRead] = SimpleQueue()
        settler = Settler(self.calls, verdicts.put, self.stop, self.wanted.config.concurrency)
        again = settler.settle(marks, {mark.stream: self._findings(mark) for mark in marks}, {})
        judged = [verdicts.get() for _ in range(verdicts.qsize())]
        left = [mark for mark in again if mark.stream.scope not in settler.lost]
        return [verdict for verdict in judged if not verdict.checkpoint.readable], left, dict(settler.lost)

    def _judged(self, verdict: PageRead) -> Iterator[pa.Table]:
        mark = verdict.checkpoint
        if mark.outcome is Outcome.COMPLETE:
            yield from self._rows(mark, verdict.rows)
        elif mark.outcome in _WHOLE:
            self.listed.pop(mark.stream)
        else:
            self._failed(mark.stream, mark.error_message or mark.outcome.value)

    def _rows(self, mark: Checkpoint, found: Sequence[ImageVersion]) -> Iterator[pa.Table]:
        """The rows of the accepted reading and those that only Describe found; they are not kept after that."""
        rows = [*self.listed.pop(mark.stream).rows, *found]
        self.given.setdefault(mark.stream.scope, Counter())[mark.stream.image_name] += len(rows)
        if rows:
            page = VersionPage(mark.stream, rows, mark.reading, mark.pages, mark.t0_ms or 0)
            yield version_table([page])

    def _lost(self, scope: Scope, error: ConnectorError) -> None:
        """A scope cannot be read further: images that were read whole are given already, the others are not."""
        given = self.given.get(scope, Counter())
        if not self.wanted.skip or not given:
            self._failed(scope, str(error), error)
            return
        # In the message itself: on an executor no log handler prints extra fields.
        logger.warning(
            "%s was not read to its end. Left out: %s. Given, because they were read whole before: %s with %s. %s",
            scope,
            _named(stream.image_name for stream in self.listed if stream.scope == scope),
            counted(len(given), "image"),
            counted(given.total(), "row"),
            error,
        )

    def _failed(self, what: Scope | Stream, reason: str, error: ConnectorError | None = None) -> None:
        if not self.wanted.skip:
            raise SourceError(f"{what} was not read whole, so nothing of it is given: {reason}") from error
        if isinstance(what, Stream):
            self.listed.pop(what)
        # In the message itself: on an executor no log handler prints extra fields.
        logger.warning("%s was not read whole and is left out: %s", what, reason)


def _named(images: Iterable[str]) -> str:
    names = sorted(images)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


@dataclass(frozen=True, slots=True)
class _Over:
    """The end of a pass: all listings have ended, except those of scopes that were given up."""

    lost: dict[Scope, ConnectorError] = field(default_factory=dict)
    failure: BaseException | None = None
