"""The time axis that both pictures share: where an instant lies, the months, and the time before the first sync.

Must not know what happened when.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from image_history.report.svg import Box, Words

WIDTH, LEFT, RIGHT = 1040, 232, 1030
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_LABEL_ROOM = 34
_LONG_ROOM = 320
_SHORT_ROOM = 140


@dataclass(frozen=True, slots=True)
class Axis:
    """From `begin` to `end`, aware; before `known` nothing was observed."""

    begin: datetime
    end: datetime
    known: datetime

    def x(self, instant: datetime) -> float:
        """The position of an instant; an instant outside of the axis is at its edge."""
        share = (instant - self.begin) / (self.end - self.begin)
        return LEFT + (RIGHT - LEFT) * min(max(share, 0.0), 1.0)

    def shade(self, top: float, bottom: float) -> Iterator[Box | Words]:
        """The time before the first sync, shaded: changes and deletions in it were not observed."""
        edge = self.x(self.known)
        if edge - LEFT > 1:
            yield Box(LEFT, top, edge - LEFT, bottom - top, "before", "before the first sync")

    def warning(self, y: float) -> Iterator[Words]:
        """A text that explains the shade, if there is room for it."""
        room = self.x(self.known) - LEFT
        if room > _LONG_ROOM:
            yield Words(LEFT + 6, y, "before the first sync: deletions and changes were not observed")
        elif room > _SHORT_ROOM:
            yield Words(LEFT + 6, y, "before the first sync")

    def months(self, top: float, bottom: float) -> Iterator[Box | Words]:
        """A line and a name for as many months as there is room for; January is named by its year."""
        room = (RIGHT - LEFT) * timedelta(days=30.4) / (self.end - self.begin)
        step = next((step for step in (1, 2, 3, 6) if step * room >= _LABEL_ROOM), 12)
        for month in self._firsts():
            x = self.x(month)
            if x <= LEFT or (month.month - 1) % step:
                continue
            yield Box(x, top, 0.8, bottom - top, "grid")
            year = month.month == 1
            if x < RIGHT - _LABEL_ROOM / 2:
                text = str(month.year) if year else _MONTHS[month.month - 1]
                yield Words(x + 3, bottom + 13, text, "ink" if year else "faint", bold=year)

    def _firsts(self) -> Iterator[datetime]:
        year, month = self.begin.year, self.begin.month
        while (first := datetime(year, month, 1, tzinfo=UTC)) <= self.end:
            yield first
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)  # noqa: PLR2004  # December
