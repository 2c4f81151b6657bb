"""Several processes, each with its own warehouse and label, that publish to the same lake tables at once.

Some of the publications are killed and repeated. Must not know how a table is written.
"""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from tests.behaviour.lakes import Shelf, alike, learn
from tests.behaviour.publishing import Stock
from tests.faultpoints.faults import Action, Fault
from tests.faultpoints.forking import Command, Forge
from tests.faultpoints.lakes import TABLES, read_if_there
from tests.faultpoints.matrix import STEADY

LABELS = ("one", "two", "three")
# Where a publication of new rows to a table is killed. Upkeep is left out: most publications have none due.
_KILLS = (("create", "table file"), ("write", "table file"), ("commit", "table"), ("committed", "table"))
_TRIES = 20


@dataclass(slots=True)
class Beside:
    """The counts; `wrong` is empty if no row was lost or duplicated and no run was partly visible."""

    commits: int = 0
    killed: int = 0
    refused: int = 0
    reads: int = 0
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.commits} publications of {len(LABELS)} labels, {self.killed} killed and {self.refused} refused "
            f"before; {self.reads} reads beside them; {len(self.wrong)} wrong"
        )


@dataclass(slots=True)
class Labels:
    """A lake of one kind, and the warehouses that are published to it."""

    folder: Path
    kind: str
    rng: random.Random
    seen: Beside = field(default_factory=Beside)

    @property
    def shelf(self) -> Shelf:
        """The lake that all labels share."""
        return Shelf(self.kind, self.folder)

    def run(self, commits: int, *, kills: int = 0) -> Beside:
        """Publish `commits` runs of every label, kill `kills` of them first, and compare the tables at the end."""
        stocks = [self._made(label) for label in LABELS]
        plans = [self._faults(commits, kills) for _ in LABELS]
        done = threading.Event()
        with ThreadPoolExecutor(len(LABELS) + 1) as pool:
            reading = pool.submit(self._read_until, done)
            writing = [
                pool.submit(self._write, stock, commits, plan)
                for stock, plan in zip(stocks, plans, strict=True)
            ]
            try:
                for each in writing:
                    each.result()
            finally:
                done.set()
            reading.result()
        self.seen.wrong += [
            f"{self.kind} {table} of {label} is not what its warehouse has"
            for table in TABLES
            for label in LABELS
            if not alike(self._of(label, table), Stock(self.folder / label).stored(table))
        ]
        return self.seen

    def _faults(self, commits: int, kills: int) -> dict[int, Fault]:
        """Choose which publications are killed, and at which effect of which of the two tables."""
        killed = self.rng.sample(range(1, commits), kills)
        return {
            number: Fault(*self.rng.choice(_KILLS), Action.KILL, self.rng.choice((1, 2))) for number in killed
        }

    def _made(self, label: str) -> Stock:
        folder = self.folder / label
        folder.mkdir()
        entry: dict[str, object] = {"to": self.shelf.to, "tables": TABLES, "label": label}
        entry |= {"properties": self.shelf.catalog} if self.shelf.catalog else {}
        (folder / "config.yaml").write_text(json.dumps({"publish": [entry]}), encoding="utf-8")
        return Stock(folder, rows_of_a_region=4, name=label).fill()

    def _write(self, stock: Stock, commits: int, faults: dict[int, Fault]) -> None:
        with Forge() as forge:
            for number in range(commits):
                self._publish(forge, stock, faults.get(number))

    def _publish(self, forge: Forge, stock: Stock, fault: Fault | None) -> None:
        learn(stock, "us-east-1", versions=1)
        codes: Counter[int] = Counter()
        given = None if fault is None else str(fault)
        while not codes[0]:
            codes[forge.run(Command(str(stock.folder), ("publish",), STEADY, given, ())).code] += 1
            given = None
            assert codes.total() < _TRIES, codes
        self.seen.commits += 1
        self.seen.killed += codes[-9]
        self.seen.refused += codes[4]

    def _read_until(self, done: threading.Event) -> None:
        """Check each read: a label shows the rows of one run only, so all rows of the region have the same run id."""
        while not done.is_set():
            for label in LABELS:
                rows = self._of(label, TABLES[0])
                runs = set(rows.filter(pc.equal(rows["region"], "us-east-1"))["failure_reason"].to_pylist())
                self.seen.reads += 1
                if rows.num_rows not in {0, 12} or len(runs) > 1:
                    self.seen.wrong.append(f"{self.kind}: {rows.num_rows} rows of {label}, of runs {runs}")

    def _of(self, label: str, table: str) -> pa.Table:
        read = read_if_there(self.shelf, table)
        if read is None:
            return pa.table({name: pa.array([], pa.string()) for name in ("region", "failure_reason")})
        return read.filter(pc.equal(read["source"], label))
