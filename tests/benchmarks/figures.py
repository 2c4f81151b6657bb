"""The measured figures, kept in a file so that a part of them can be measured again.

Must not know how they are measured or printed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import msgspec

from tests.benchmarks.contest import OURS, Workload
from tests.benchmarks.measure import Cost


class Measured(msgspec.Struct):
    """One contestant's runs of one workload."""

    costs: list[Cost]

    @property
    def problem(self) -> str | None:
        """Why the figures are not valid; None if they are."""
        return next((cost.problem for cost in self.costs if cost.problem is not None), None)

    def middle(self, of: Callable[[Cost], float]) -> float:
        """The median of a figure."""
        return median(map(of, self.costs))

    @property
    def wall(self) -> float:
        """Median seconds on the clock."""
        return self.middle(lambda cost: cost.wall_seconds)

    @property
    def cpu(self) -> float:
        """Median seconds of CPU."""
        return self.middle(lambda cost: cost.cpu_seconds)

    @property
    def peak(self) -> float:
        """Median peak memory, MB."""
        return self.middle(lambda cost: cost.peak_mb)

    @property
    def calls(self) -> int:
        """Median number of API calls."""
        return int(self.middle(lambda cost: cost.calls))


class Figures(msgspec.Struct):
    """All figures: the contestants' runs and the title of each workload, and the figures of growth, by name."""

    workloads: dict[str, dict[str, Measured]] = msgspec.field(default_factory=dict)
    titles: dict[str, str] = msgspec.field(default_factory=dict)
    grown: dict[str, float] = msgspec.field(default_factory=dict)

    @classmethod
    def kept(cls, path: Path) -> Figures:
        """The figures of an existing file; none if there is no file."""
        return msgspec.json.decode(path.read_bytes(), type=cls) if path.exists() else cls()

    def keep(self, path: Path) -> None:
        """Write all figures to a file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self)))

    def put(self, workload: Workload, contestant: str, costs: Sequence[Cost]) -> None:
        """Replace a contestant's figures of a workload."""
        self.titles[workload.name] = workload.title
        self.workloads.setdefault(workload.name, {})[contestant] = Measured(list(costs))

    def of(self, workload: str, contestant: str) -> Measured | None:
        """A contestant's figures of a workload; None if there are none or they are not valid."""
        found = self.workloads.get(workload, {}).get(contestant)
        return found if found is not None and found.problem is None else None

    def line(self, workload: Workload, contestant: str) -> str:
        """A contestant's figures of a workload, in one line."""
        found = self.workloads[workload.name][contestant]
        told = (
            f"wall {found.wall:.2f} s, CPU {found.cpu:.2f} s, peak {found.peak:.0f} MB, {found.calls:,} calls"
        )
        return f"{workload.name}: {contestant}: {told}{f' ({found.problem})' if found.problem else ''}"

    def ours_is_wrong(self) -> bool:
        """Whether image-history's figures of any workload are not valid."""
        return any(OURS in found and found[OURS].problem is not None for found in self.workloads.values())
