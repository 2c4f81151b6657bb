"""Collects pages from many threads and cuts them into segments, in order, on one thread of its own.

Must not know AWS or the warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence

from image_history.landing.batch_writer import BatchWriter, Cut
from image_history.landing.details import CostsTaken, costs_since
from image_history.landing.rows import VersionPage, version_table
from image_history.landing.runs import LandedRun, SegmentHeader, write_segment
from image_history.listing.pages import PageRead


class SegmentWriter(BatchWriter[PageRead]):
    """The writing thread of one run's segments."""

    def __init__(self, run: LandedRun, *, cut: Cut, costs: CostsTaken) -> None:
        super().__init__(self._segment, lambda page: len(page.rows), cut)
        self._folder = run.folder
        self._run_id = run.plan.run_id
        self._number = len(run.segments)
        self._costs = costs

    def _segment(self, pages: Sequence[PageRead]) -> None:
        costs = costs_since(self._costs)
        if not pages and not costs:
            return
        self._number += 1
        header = SegmentHeader(
            self._run_id,
            self._number,
            tuple({page.checkpoint.stream: page.checkpoint for page in pages}.values()),
            costs,
            tuple(absence for page in pages for absence in page.absences),
            tuple(drift for page in pages for drift in page.drift),
        )
        write_segment(self._folder, header, version_table([_landed(page) for page in pages if page.rows]))


def _landed(page: PageRead) -> VersionPage:
    mark = page.checkpoint
    if mark.t0_ms is None:
        raise ValueError(f"{mark.stream} has rows of no time")
    return VersionPage(mark.stream, page.rows, mark.reading, mark.pages, mark.t0_ms)
