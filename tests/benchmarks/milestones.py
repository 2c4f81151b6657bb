"""The targets: each figure with its goal and its first milestone, and whether they are met.

Must not know how anything was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.contest import LIMIT, NAIVE, OURS, TUNED
from tests.benchmarks.figures import Figures, Measured
from tests.benchmarks.growth import IDEAL_SECONDS


@dataclass(frozen=True, slots=True)
class Figure:
    """One target: the goal and the milestone are upper bounds; `unit` follows the number."""

    name: str
    goal: float
    milestone: float
    measured: float | None
    unit: str = "x"

    def row(self) -> tuple[str, ...]:
        """The cells of the figure's row in the table."""
        if self.measured is None:
            return (self.name, self._told(self.goal), self._told(self.milestone), "not measured", "", "")
        met = ["yes" if self.measured <= bound else "**no**" for bound in (self.milestone, self.goal)]
        return (
            self.name,
            self._told(self.goal),
            self._told(self.milestone),
            f"{self._number(self.measured)}{self.unit}",
            *met,
        )

    def _told(self, bound: float) -> str:
        return f"at most {self._number(bound)}{self.unit}"

    def _number(self, value: float) -> str:
        return f"{value:,.0f}" if self.unit in {" MB", " ms", " calls", " bytes"} else f"{value:.3g}"


def rows(figures: Figures) -> list[tuple[str, ...]]:
    """Every figure of the performance table, as cells."""
    return [figure.row() for figure in (*_contests(figures), *_growth(figures))]


def _ratio(figures: Figures, workload: str, other: str, *, of: str) -> float | None:
    ours, theirs = figures.of(workload, OURS), figures.of(workload, other)
    return None if ours is None or theirs is None else _get(ours, of) / _get(theirs, of)


def _get(found: Measured, of: str) -> float:
    return found.wall if of == "wall" else found.cpu


def _contests(figures: Figures) -> Iterator[Figure]:
    def ratio(workload: str, other: str, of: str) -> float | None:
        return _ratio(figures, workload, other, of=of)

    yield Figure("W1: CPU against naive", 0.45, 0.5, ratio("W1", NAIVE, "cpu"))
    yield Figure("W1: CPU against tuned", 1.05, 1.2, ratio("W1", TUNED, "cpu"))
    yield Figure("W2: wall against limit", 1.2, 1.4, ratio("W2", LIMIT, "wall"))
    yield Figure("W4 quiet: wall against limit", 1.2, 1.5, ratio("W4 quiet", LIMIT, "wall"))
    yield Figure("W4 quiet: CPU against naive", 0.8, 1, ratio("W4 quiet", NAIVE, "cpu"))
    w6 = figures.of("W6", OURS)
    yield Figure("W6: peak memory", 400, 600, w6.peak if w6 else None, " MB")
    yield Figure("W2: wall that safety costs (beyond tuned)", 0.15, 0.3, _safety(figures))


def _safety(figures: Figures) -> float | None:
    ours, tuned = figures.of("W2", OURS), figures.of("W2", TUNED)
    return None if ours is None or tuned is None else max(0.0, 1 - tuned.wall / ours.wall)


def _growth(figures: Figures) -> Iterator[Figure]:
    peaks = _values(figures, "memory: peak MB")
    growth = peaks[-1] / peaks[0] - 1 if len(peaks) > 1 else None
    yield Figure("Peak memory's growth at four times the rows", 0.15, 0.3, growth)
    merges = _values(figures, "merge: ")
    yield Figure(
        "Merge into ten times the rows", 1.5, 2, merges[-1] / merges[-2] if len(merges) > 1 else None
    )
    written = _values(figures, "quiet: bytes")
    yield Figure("Quiet run: bytes written", 1e6, 5e6, written[-1] if written else None, " bytes")
    surplus = _values(figures, "quiet: calls")
    yield Figure("Quiet run: calls beyond streams and list pages", 0, 0, max(surplus, default=None), " calls")
    seconds = figures.grown.get(f"scopes: wall s of 500 at 2 calls a second, ideal {IDEAL_SECONDS}")
    yield Figure(
        "500 scopes: wall against the ideal", 1.3, 1.3, None if seconds is None else seconds / IDEAL_SECONDS
    )
    yield Figure("500 scopes: peak memory", 500, 500, figures.grown.get("scopes: peak MB of 500"), " MB")
    for name in ("--help", "--version"):
        starts = _values(figures, f"start: ms of image-history {name}")
        yield Figure(f"image-history {name}", 80, 120, starts[0] if starts else None, " ms")


def _values(figures: Figures, beginning: str) -> list[float]:
    return [value for name, value in figures.grown.items() if name.startswith(beginning)]
