"""Readers of every kind in loops beside a publisher: each answer must hold one whole run; no safe reader may fail.

Must not know how a dataset is published.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from tests.behaviour.publishing import Stock, by_glob, by_manifest, by_pandas, by_pyarrow

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa

# They read by the manifest, or the folder that `current` points to when they begin: consistent at any time.
SAFE = {"manifest": by_manifest, "pandas": by_pandas, "pyarrow": by_pyarrow}
# It reads by the path, which may point to another folder during the listing: a read may fail, and is repeated.
BARE = {"glob": by_glob}
GRACE = timedelta(minutes=10)


@dataclass(slots=True)
class Seen:
    """What readers saw; `refused` counts the reads by the bare path that failed because a file was gone."""

    reads: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    mixed: list[str] = field(default_factory=list)
    runs: set[str] = field(default_factory=set)
    publications: int = 0

    @property
    def clean(self) -> bool:
        """Whether no reader failed or saw a mixture of runs, and every kind of reader read at least once."""
        return not self.failed and not self.mixed and self.reads.keys() == SAFE.keys() | BARE.keys()

    def __str__(self) -> str:
        reads = ", ".join(f"{count} by {name}" for name, count in sorted(self.reads.items()))
        return (
            f"{self.publications} publications beside readers ({reads}; {len(self.runs)} runs seen): "
            f"{len(self.failed)} failed, {len(self.mixed)} mixtures; the bare path was told "
            f"{sum(self.refused.values())} times that a file had gone {self.failed[:2]}{self.mixed[:2]}"
        )


@dataclass(slots=True)
class Beside:
    """Every publication changes every row of all regions, so that a mixture shows as two runs in one answer."""

    stock: Stock
    seen: Seen = field(default_factory=Seen)
    over: threading.Event = field(default_factory=threading.Event)

    def run(self, publications: int) -> Seen:
        """Publish this many times, with one thread for each kind of reader."""
        self._publish()
        loops = [
            threading.Thread(target=partial(self._loop, name, read), name=name)
            for name, read in (SAFE | BARE).items()
        ]
        for loop in loops:
            loop.start()
        try:
            for _ in range(publications):
                self._publish()
        finally:
            self.over.set()
            for loop in loops:
                loop.join()
        return self.seen

    def _publish(self) -> None:
        self.stock.change(*self.stock.regions)
        assert self.stock.publish(grace=GRACE).written == len(self.stock.regions)
        self.seen.publications += 1

    def _loop(self, name: str, read: Callable[[Path], pa.Table]) -> None:
        while not self.seen.failed and not (self.over.is_set() and self.seen.reads[name]):
            try:
                answer = read(self.stock.dataset)
            except Exception as error:  # noqa: BLE001 - any failure of a reader is what is looked for
                if name not in BARE or "No such file" not in str(error):
                    self.seen.failed.append(f"{name}: {error}")
                self.seen.refused[name] += 1
                continue
            self.seen.reads[name] += 1
            self._judge(name, answer)

    def _judge(self, name: str, answer: pa.Table) -> None:
        runs = set(answer["failure_reason"].to_pylist())
        regions = set(answer["region"].to_pylist())
        rows = self.stock.rows_of_a_region * len(self.stock.regions)
        if len(runs) != 1 or len(regions) != len(self.stock.regions) or answer.num_rows != rows:
            self.seen.mixed.append(f"{name}: {answer.num_rows} rows of {sorted(map(str, runs))}")
        self.seen.runs |= runs
