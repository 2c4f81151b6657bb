"""Collects one listing without a warehouse: its rows, and the findings from its own earlier readings.

Pure; must not know calls, threads or files. Only a warehouse compares a listing with stored rows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from image_history.aws.bodies import ImageVersion, epoch_ms
from image_history.listing.pages import PageRead
from image_history.listing.verdict import Findings, Suspect
from image_history.model import Checkpoint, Numbers


@dataclass(slots=True)
class Listed:
    """One listing while it is read. `rows` belong to the current reading, `before` has the numbers of the previous.

    `created_ms` has the CreationTime of each number of the earlier readings, in UTC epoch milliseconds.
    """

    rows: list[ImageVersion] = field(default_factory=list)
    reading: int = 1
    before: frozenset[int] = frozenset()
    created_ms: dict[int, int] = field(default_factory=dict)

    def take(self, page: PageRead) -> None:
        """Add a page of the current reading, or begin the next reading with its first page."""
        if page.checkpoint.reading != self.reading:
            self.before = frozenset(self._numbers())
            self.created_ms |= {row.Version: epoch_ms(row.CreationTime) for row in self.rows}
            self.rows, self.reading = [], page.checkpoint.reading
        self.rows += page.rows

    def findings(self, checkpoint: Checkpoint) -> Findings:
        """The findings about the current reading, which came to its end at the checkpoint."""
        present = set(self._numbers())
        lacking = sorted(self.created_ms.keys() - present)
        return Findings(
            missing=tuple(Suspect(number, self.created_ms[number], stored=False) for number in lacking),
            gaps=tuple(gaps(present | self.created_ms.keys())),
            agrees=checkpoint.t0_before_ms is not None and self.before <= present,
        )

    def _numbers(self) -> Iterable[int]:
        return (row.Version for row in self.rows)


def gaps(numbers: Iterable[int]) -> Iterable[Numbers]:
    """The ranges of missing numbers between the lowest number and the highest."""
    before: int | None = None
    for number in sorted(numbers):
        if before is not None and number > before + 1:
            yield before + 1, number - 1
        before = number
