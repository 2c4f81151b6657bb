"""Writes RESULTS.md: the targets, and a table with ratios for every workload.

Must not know how anything was measured.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.benchmarks.contest import CONTESTANTS, EXPORTED, LIMIT, NAIVE, OURS, SIZES
from tests.benchmarks.figures import Figures, Measured
from tests.benchmarks.milestones import rows as milestone_rows

RESULTS = Path(__file__).with_name("RESULTS.md")
NOTES = Path(__file__).with_name("NOTES.md")

_PACKAGES = (
    "aiobotocore",
    "boto3",
    "dlt",
    "duckdb",
    "msgspec",
    "pandas",
    "pyarrow",
    "singer-sdk",
    "target-duckdb",
)
_ASK = (
    "import json, sys\n"
    "from importlib.metadata import version, PackageNotFoundError\n"
    "def told(name):\n"
    "    try: return version(name)\n"
    "    except PackageNotFoundError: return None\n"
    "print(json.dumps({name: told(name) for name in sys.argv[1:]}))"
)


def report(figures: Figures, size: str, peers: str) -> str:
    """All kept figures as Markdown, with the notes of NOTES.md at the end."""
    parts = [
        "# Results of the benchmark",
        _introduction(size),
        "## What had to be reached",
        _table(
            ("figure", "goal", "milestone", "measured", "milestone met", "goal met"), milestone_rows(figures)
        ),
        "## Workloads",
        *_workloads(figures, size),
        "## What cost grows with",
        _table(("figure", "measured"), [(name, f"{value:,.4g}") for name, value in figures.grown.items()]),
        "## Versions",
        _table(("package", "ours", "peers"), _versions(peers)),
        NOTES.read_text(encoding="utf-8").strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(size: str) -> str:
    return (
        f"Written by `make bench{' SIZE=full' if size == 'full' else ''}`: whole processes from their start to a "
        "DuckDB file and a Parquet file whose rows were compared with the server's, medians of 3 runs (of 1 for W3, "
        f"W5 and W6). {platform.system()} on {os.cpu_count()} {platform.machine()} cores, Python "
        f"{platform.python_version()}. CPU is user and system time of the process tree, peak that of its largest "
        "process; the server is a process of its own and is not counted. Ratios travel; seconds don't, and ratios of "
        "wall time only from a machine that does nothing else: its load was "
        f"{os.getloadavg()[2]:.0f} in the quarter of an hour before this was written."
    )


def _workloads(figures: Figures, size: str) -> Iterable[str]:
    for workload in SIZES[size]:
        found = figures.workloads.get(workload.name, {})
        ranked = [(name, found[name]) for name in CONTESTANTS if name in found]
        if ranked:
            yield f"### {workload.name}: {workload.title}"
            heads = ("", "wall s", "CPU s", "wall / limit", "CPU / limit", "CPU / naive", "peak MB", "calls")
            yield _table(heads, [_row(figures, workload.name, name, each) for name, each in ranked])


def _row(figures: Figures, workload: str, name: str, found: Measured) -> tuple[str, ...]:
    if found.problem is not None:
        return (name, *[""] * 6, f"not believed: {found.problem}")
    limit, naive = figures.of(workload, LIMIT), figures.of(workload, NAIVE)
    return (
        f"**{name}**" if name in {OURS, EXPORTED} else name,
        f"{found.wall:.2f}",
        f"{found.cpu:.2f}",
        f"{found.wall / limit.wall:.2f}" if limit else "",
        f"{found.cpu / limit.cpu:.2f}" if limit else "",
        f"{found.cpu / naive.cpu:.2f}" if naive else "",
        f"{found.peak:.0f}",
        f"{found.calls:,}",
    )


def _versions(peers: str) -> list[tuple[str, ...]]:
    told = [
        json.loads(subprocess.run([python, "-c", _ASK, *_PACKAGES], capture_output=True, check=True).stdout)
        for python in (sys.executable, peers)
    ]
    return [(name, *(versions[name] or "" for versions in told)) for name in _PACKAGES]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
