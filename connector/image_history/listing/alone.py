"""One listing of which nothing is stored: its rows, and what its own earlier readings say against it.

Pure; must not know calls, threads or files. What is stored, a warehouse holds against a listing.
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
    """The rows of the present reading. `before` are the numbers of the reading before, `created_ms` those of all."""

    rows: list[ImageVersion] = field(default_factory=list)
    reading: int = 1
    before: frozenset[int] = frozenset()
    created_ms: dict[int, int] = field(default_factory=dict)

    def take(self, page: PageRead) -> None:
        """Take a page of the present reading, or the first one of the next."""
        if page.checkpoint.reading != self.reading:
            self.before = frozenset(self._numbers())
            self.created_ms |= {row.Version: epoch_ms(row.CreationTime) for row in self.rows}
            self.rows, self.reading = [], page.checkpoint.reading
        self.rows += page.rows

    def findings(self, checkpoint: Checkpoint) -> Findings:
        """What is odd about the present reading, which came to its end at the checkpoint."""
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
    """The ranges of numbers that are lacking between the least and the greatest."""
    before: int | None = None
    for number in sorted(numbers):
        if before is not None and number > before + 1:
            yield before + 1, number - 1
        before = number
