"""Publishes lake tables with a fault at each effect, and follows each fault with a clean publication.

Must not know how a table is written; checks only that readers find the old or the new rows, each once.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from deltalake.exceptions import TableNotFoundError
from pyiceberg.exceptions import NoSuchTableError
from sqlalchemy.exc import OperationalError

from image_history.publish.lake import OUR_FILES
from tests.behaviour.lakes import READERS, Shelf, aged, alike, by_library, learn
from tests.behaviour.publishing import Stock
from tests.faultpoints import registry
from tests.faultpoints.faults import ONLY_KILLED, REFUSALS, Action, Fault, Point
from tests.faultpoints.forking import Command, Ended, Forge
from tests.faultpoints.matrix import STEADY, Figures

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("image_versions", "image_version_events")
POINTS = frozenset(registry.IN_LAKES)
# `first` starts without a table. `changed` starts with a changed region, new events, a new column and due upkeep.
STAGES = ("first", "changed")
# Delta's upkeep is due at version 10. Version 9 adds the new column, and version 10 its rows.
_PUBLISHED_BEFORE = {"iceberg": 1, "delta": 8}
_UNTIL_SWEPT = {"iceberg": 1, "delta": 11}


@dataclass(slots=True)
class LakeMatrix:
    """A lake before a publication, restored for each fault. The folder is the same: catalogs store absolute paths."""

    root: Path
    kind: str
    stage: str
    forge: Forge
    old: dict[str, pa.Table | None] = field(default_factory=dict)
    reached: list[Point] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        return self.root / "case"

    @property
    def stock(self) -> Stock:
        """The warehouse that is published."""
        return Stock(self.folder, rows_of_a_region=6)

    @property
    def shelf(self) -> Shelf:
        """The lake that the warehouse is published to."""
        return Shelf(self.kind, self.folder)

    def prepare(self) -> None:
        """Prepare the lake and save it as the template, then publish once without a fault."""
        self.folder.mkdir()
        stock = self.stock.fill()
        entry: dict[str, object] = {"to": self.shelf.to, "tables": TABLES, "keep": "0s"}
        entry |= {"properties": self.shelf.catalog} if self.shelf.catalog else {}
        (self.folder / "config.yaml").write_text(json.dumps({"publish": [entry]}), encoding="utf-8")
        if self.stage == "changed":
            self._publish_before(stock)
        shutil.move(self.folder, self.root / "template")
        self.restore()
        self.old = {table: read_if_there(self.shelf, table) for table in TABLES}
        undisturbed = self.run()
        assert undisturbed.code == 0, undisturbed.err
        assert self.states() == {"new"}
        self.reached = [point for point in undisturbed.reached if point in POINTS]

    def _publish_before(self, stock: Stock) -> None:
        for _ in range(_PUBLISHED_BEFORE[self.kind]):
            learn(stock, "us-east-1", versions=1)
            assert self.run().code == 0
        leave_a_file(self.shelf)
        aged(self.shelf, timedelta(days=3))
        stock.run_sql("ALTER TABLE image_versions ADD COLUMN note VARCHAR")
        learn(stock, "us-east-1", versions=1)

    def restore(self) -> None:
        """Restore the folder as it was before the publication."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.root / "template", self.folder)

    def run(self, fault: Fault | None = None) -> Ended:
        """Publish once, with the fault if one is given."""
        given = None if fault is None else str(fault)
        return self.forge.run(Command(str(self.folder), ("publish",), STEADY, given, ()))

    def states(self) -> set[str]:
        """Which rows readers find in the tables: old, new or neither."""
        return {self.state_of(table) for table in TABLES}

    def state_of(self, table: str) -> str:
        """Which rows readers find in one table: old, new or neither."""
        read = read_if_there(self.shelf, table)
        stored = self.stock.stored(table)
        if read is not None and set(stored.column_names) <= set(read.column_names) and alike(read, stored):
            return "new"
        old = self.old[table]
        if read is None or read.num_rows == 0:
            return "old" if old is None else "neither"
        return "old" if old is not None and alike(read, old) else "neither"

    def kills(self) -> list[Fault]:
        """A kill at each effect of the undisturbed publication."""
        counts: Counter[Point] = Counter()
        found = []
        for point in self.reached:
            counts[point] += 1
            found.append(Fault(*point, Action.KILL, counts[point]))
        return found

    def refusals(self) -> list[Fault]:
        """Every error of the disk at each effect that the disk can refuse."""
        refused = [kill for kill in self.kills() if kill.effect not in ONLY_KILLED]
        return [Fault(each.effect, each.subject, how, each.number) for each in refused for how in REFUSALS]

    def play(self, faults: Sequence[Fault]) -> Figures:
        """Run each fault, then a clean publication, and report what is wrong afterwards."""
        figures = Figures()
        for fault in faults:
            self.restore()
            disturbed = self.run(fault)
            figures.cases += 1
            figures.by_action[fault.action] += 1
            figures.codes[disturbed.code] += 1
            problems = (*self._disturbed(fault, disturbed), *self._completed())
            figures.wrong += [f"{self.kind} {self.stage} {fault}: {problem}" for problem in problems]
        return figures

    def _disturbed(self, fault: Fault, ended: Ended) -> Iterator[str]:
        if "neither" in self.states():
            yield "readers find rows that are neither the old nor the new ones"
        if fault.action is Action.KILL:
            if ended.code != -9:
                yield f"it was not killed, but exited with {ended.code}"
        elif _stands(fault):
            if ended.code != 0 or self.states() != {"new"}:
                yield f"what could not be cleaned up undid the publication: {ended.code}, {self.states()}"
        elif ended.code != 4 or "Traceback" in ended.err:
            yield f"it exited with {ended.code}: {ended.err}"
        elif os.strerror(getattr(errno, fault.action.value)) not in ended.out:
            yield f"the line does not say why: {ended.out}"

    def _completed(self) -> Iterator[str]:
        ended = self.run()
        if ended.code != 0:
            yield f"the clean publication exited with {ended.code}: {ended.err}"
        elif self.states() != {"new"}:
            yield "the clean publication is not the new rows, each once"
        else:
            for name, read in READERS.items():
                if not all(alike(read(self.shelf, table), self.stock.stored(table)) for table in TABLES):
                    yield f"{name} reads other rows than the warehouse has"

    def orphans_after(self, kills: Sequence[Fault]) -> set[str]:
        """Run killed publications with new rows, later clean ones; returns the data files that no commit names."""
        self.restore()
        stock = self.stock
        for kill in kills:
            stock.runs += 1000
            learn(stock, "us-west-2", versions=1)
            self.run(kill)
        aged(self.shelf, timedelta(days=3))
        for _ in range(_UNTIL_SWEPT[self.kind]):
            stock.runs += 1000
            learn(stock, "us-west-2", versions=1)
            assert self.run().code == 0
        assert self.states() == {"new"}
        return self.shelf.data_files() - {
            name for table in TABLES for name in named_by_commits(self.shelf, table)
        }


def _stands(fault: Fault) -> bool:
    """Whether the publication succeeds although this effect is refused: the log reports what was not cleaned up."""
    return fault.subject == "upkeep" or (fault.effect, fault.subject) == ("delete", "table file")


def read_if_there(shelf: Shelf, table: str) -> pa.Table | None:
    """A table's rows; None if the table does not exist yet."""
    try:
        return by_library(shelf, table)
    except (NoSuchTableError, TableNotFoundError, OperationalError):
        return None


def leave_a_file(shelf: Shelf) -> None:
    """Write a data file that no commit names, as a publication does that is killed before its commit."""
    files = (shelf.folder / "lake").rglob(f"image_versions/**/{OUR_FILES}*.parquet")
    (next(iter(files)).parent / f"{OUR_FILES}00000000-0000-4000-8000-000000000001.parquet").write_bytes(
        b"left by a publication that was cut off"
    )


def named_by_commits(shelf: Shelf, table: str) -> set[str]:
    """The names of the data files in the commits that still exist."""
    if shelf.kind == "iceberg":
        paths = shelf.iceberg(table).inspect.all_files()["file_path"].to_pylist()
        return {Path(path).name for path in paths}
    log = shelf.folder / "lake" / table / "_delta_log"
    lines = [json.loads(line) for path in log.glob("*.json") for line in path.read_text().splitlines()]
    return {Path(line["add"]["path"]).name for line in lines if "add" in line}
