"""Collects lookups from many threads and cuts them into files of details, on one thread of its own.

Must not know AWS or the warehouse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from image_history.landing.batch_writer import BatchWriter, Cut
from image_history.landing.details import Answered, CostsTaken, DetailsHeader, costs_since, write_details
from image_history.landing.rows import detail_table
from image_history.landing.runs import LandedRun
from image_history.listing.details import Lookup


class DetailsWriter(BatchWriter[Lookup]):
    """The writing thread of one run's files of details; a lookup counts as a row."""

    def __init__(self, run: LandedRun, *, cut: Cut, costs: CostsTaken) -> None:
        super().__init__(self._file, lambda _: 1, cut)
        self._folder = run.folder
        self._run_id = run.plan.run_id
        self._number = len(run.details.files)
        self._costs = costs

    def _file(self, lookups: Sequence[Lookup]) -> None:
        costs = costs_since(self._costs)
        if not lookups and not costs:
            return
        self._number += 1
        answered = Counter(lookup.pending.stream for lookup in lookups if lookup.answered)
        header = DetailsHeader(
            run_id=self._run_id,
            number=self._number,
            costs=costs,
            answered=tuple(Answered(stream, count) for stream, count in answered.items()),
            troubles=tuple(trouble for lookup in lookups for trouble in lookup.troubles),
            drift=tuple(drift for lookup in lookups for drift in lookup.drift),
        )
        write_details(self._folder, header, detail_table([lookup for lookup in lookups if lookup.answered]))
