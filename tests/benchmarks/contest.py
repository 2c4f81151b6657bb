"""The workloads, the contestants, and one measured run of one contestant.

Must not know how figures are printed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from tests.benchmarks.measure import ROOT, Command, Cost, Server, spend
from tests.benchmarks.world import Shape

OURS, EXPORTED, NAIVE, LIMIT, TUNED = "ours", "ours_export", "naive", "limit", "tuned"
CONTESTANTS = (OURS, EXPORTED, LIMIT, TUNED, "aio", "threads", NAIVE, "dlt_arrow", "dlt_rows", "singer")
DATASET, PUBLISHED = "rows.parquet", "dataset/current/image_versions/*/*.parquet"
_PUBLISHING = "publish:\n  - {to: ./dataset, tables: [image_versions]}\n"


@dataclass(frozen=True, slots=True)
class Workload:
    """What a run reads, and the latency and the rate of the server.

    With `after`, a first run (not measured) reads `shape`, and the measured run reads `after`. `without` names the
    contestants that are left out because they would take too long.
    """

    name: str
    title: str
    shape: Shape
    after: Shape | None = None
    latency_ms: float = 0
    rate: float = 0
    repeats: int = 3
    without: frozenset[str] = frozenset()


def _workloads(*, full: bool) -> tuple[Workload, ...]:
    images, giant, many = (200, 100_000, 1000) if full else (40, 10_000, 100)
    scattered = Shape(images, 500)
    told = f"{images} images x 500"
    heavy = frozenset({"dlt_rows"}) if full else frozenset()
    return (
        Workload("W1", "100k rows, 1,001 calls, no latency", Shape(20, 5_000)),
        Workload("W2", f"{told}, 50 ms a call", scattered, latency_ms=50),
        Workload(
            "W3",
            f"{images // 2} images x 500, 20 calls a second",
            Shape(images // 2, 500),
            rate=20,
            repeats=1,
        ),
        Workload("W4 quiet", f"{told}, 50 ms, nothing changed", scattered, scattered, latency_ms=50),
        Workload(
            "W4 1 %", f"{told}, 50 ms, 1 % changed", scattered, replace(scattered, changed=5), latency_ms=50
        ),
        Workload("W5", f"one image of {giant:,} versions, 20 ms", Shape(1, giant), latency_ms=20, repeats=1),
        Workload("W6", f"{many * 1000:,} rows, no latency", Shape(many, 1_000), repeats=1, without=heavy),
    )


SIZES: Mapping[str, tuple[Workload, ...]] = {
    "quick": _workloads(full=False),
    "full": _workloads(full=True),
    "tiny": (
        Workload("W1", "1,000 rows", Shape(4, 250), repeats=1),
        Workload("W4 1 %", "1,000 rows, 1 % changed", Shape(4, 250), Shape(4, 250, 3), repeats=1),
    ),
}


@dataclass(frozen=True, slots=True)
class Contest:
    """Runs contestants against the server, in a folder. `peers` is the interpreter that has the peers' packages."""

    server: Server
    folder: Path
    peers: str

    def commands(self, contestant: str) -> tuple[Command, ...]:
        """The commands of one run, in order: a sync that publishes, a sync and an export, or a peer's program."""
        sync = (sys.executable, "-m", "image_history", "-q", "sync")
        if contestant == OURS:
            return (sync,)
        if contestant == EXPORTED:
            return (sync, (*sync[:-1], "export", "--output", DATASET))
        return ((self.peers, "-m", f"tests.benchmarks.peers.{contestant}"),)

    def run(self, contestant: str, workload: Workload) -> list[Cost]:
        """All measured runs of one contestant; a run that fails, or has wrong rows, is the last one."""
        work = self.folder / "work"
        saved = self.folder / "saved"
        costs: list[Cost] = []
        self._fresh(contestant, work, None)
        if workload.after is not None:
            self.server.serve(workload.shape)
            self._once(contestant, work, workload)
            shutil.rmtree(saved, ignore_errors=True)
            shutil.copytree(work, saved, symlinks=True)
        for _ in range(workload.repeats):
            self._fresh(contestant, work, None if workload.after is None else saved)
            shape = workload.after or workload.shape
            self.server.serve(shape, latency_ms=workload.latency_ms, rate=workload.rate)
            cost = self._once(contestant, work, workload)
            calls = self.server.calls()
            made = sum(count for name, count in calls.items() if name != "throttled")
            rows = work / (PUBLISHED if contestant == OURS else DATASET)
            problem = cost.problem or wrong(rows, shape)
            costs.append(replace(cost, calls=made, problem=problem, told=""))
            if problem is not None:
                break
        return costs

    def _once(self, contestant: str, work: Path, workload: Workload) -> Cost:
        rate = str(workload.rate or 10_000)
        environment = {
            **self.server.environment(),
            "IMAGE_HISTORY_RATE__LIST_PER_SECOND": rate,
            "IMAGE_HISTORY_RATE__DESCRIBE_PER_SECOND": rate,
        }
        total = Cost(0, 0, 0)
        for command in self.commands(contestant):
            total += spend(command, work, environment)
        return total

    def _fresh(self, contestant: str, work: Path, saved: Path | None) -> None:
        shutil.rmtree(work, ignore_errors=True)
        if saved is not None:
            shutil.copytree(saved, work, symlinks=True)
            return
        work.mkdir(parents=True)
        if contestant == OURS:
            (work / "config.yaml").write_text(_PUBLISHING, encoding="utf-8")


def wrong(dataset: Path, shape: Shape) -> str | None:
    """What is wrong with a contestant's rows; None if they are right."""
    command = [sys.executable, "-m", "tests.benchmarks.check", str(dataset)]
    asked = [str(shape.images), str(shape.versions), str(shape.changed)]
    told = subprocess.run([*command, *asked], cwd=ROOT, capture_output=True, text=True, check=False)
    if not told.returncode:
        return None
    count = told.stdout.strip()
    return f"{int(count):,} of {shape.rows:,} rows wrong" if count else "no rows to be read"
