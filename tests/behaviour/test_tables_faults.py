"""A publication of lake tables that dies at any of its effects leaves the old tables or the new ones."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from image_history.publish.lake import OUR_FILES
from tests.behaviour.lakes import KINDS, Shelf, aged, alike, by_library, learn
from tests.behaviour.publishing import Stock
from tests.faultpoints import registry
from tests.faultpoints.faults import Action, Fault, Point
from tests.faultpoints.forking import Command, Ended, Forge
from tests.faultpoints.matrix import STEADY

pytestmark = pytest.mark.duckdb

TABLES = ("image_versions", "image_version_events")
POINTS = {(effect, subject) for effect, subject in registry.IN_LAKES}


@pytest.fixture(scope="module")
def forge() -> Iterator[Forge]:
    """A process that forks commands."""
    with Forge() as forge:
        yield forge


class Trial:
    """A lake that was published, then changed in the warehouse; and copies of both, one a fault."""

    def __init__(self, folder: Path, kind: str, forge: Forge) -> None:
        self.folder, self.kind, self.forge = folder / "case", kind, forge
        self.template = folder / "template"
        self.folder.mkdir()
        self.stock = Stock(self.folder, rows_of_a_region=6).fill()
        self.shelf = Shelf(kind, self.folder)
        (self.folder / "config.yaml").write_text(json.dumps({"publish": [self.entry()]}), encoding="utf-8")
        assert self.run().code == 0
        learn(self.stock, "us-east-1")
        aged(self.shelf, timedelta(days=3))
        shutil.move(self.folder, self.template)
        self.restore()
        self.old = {table: by_library(self.shelf, table) for table in TABLES}

    def entry(self) -> dict[str, object]:
        """The entry of `publish`."""
        return {"to": self.shelf.to, "tables": list(TABLES), "keep": "0s", **self.properties()}

    def properties(self) -> dict[str, object]:
        return {"properties": self.shelf.catalog} if self.shelf.catalog else {}

    def restore(self) -> None:
        """The folder as before the second publication."""
        shutil.rmtree(self.folder, ignore_errors=True)
        shutil.copytree(self.template, self.folder)

    def run(self, fault: Fault | None = None) -> Ended:
        """Publish in the folder."""
        given = None if fault is None else str(fault)
        return self.forge.run(Command(str(self.folder), ("publish",), STEADY, given, ()))

    def states(self) -> set[str]:
        """Which tables readers find."""
        return {self.state_of(table) for table in TABLES}

    def state_of(self, table: str) -> str:
        """Which table readers find."""
        read = by_library(self.shelf, table)
        if alike(read, self.stock.stored(table)):
            return "new"
        return "old" if alike(read, self.old[table]) else "neither"


def leave_a_file(shelf: Shelf) -> None:
    """A data file of ours that no commit names, as a publication leaves that is killed before its commit."""
    files = (shelf.folder / "lake").rglob(f"image_versions/**/{OUR_FILES}*.parquet")
    folder = next(iter(files)).parent
    (folder / f"{OUR_FILES}left.parquet").write_bytes(b"left by a publication that was cut off")


@pytest.mark.parametrize("kind", KINDS)
def test_killed_publication_leaves_whole_tables_and_the_next_completes(
    kind: str, forge: Forge, tmp_path: Path
) -> None:
    """After a kill at each effect each table is the old or the new one, and the next publication completes them."""
    trial = Trial(tmp_path, kind, forge)
    undisturbed = trial.run()
    assert undisturbed.code == 0, undisturbed.err
    assert trial.states() == {"new"}
    counts: Counter[Point] = Counter()
    for point in undisturbed.reached:
        if point not in POINTS:
            continue
        counts[point] += 1
        trial.restore()
        assert trial.run(Fault(*point, Action.KILL, counts[point])).code == -9
        assert "neither" not in trial.states(), point
        again = trial.run()
        assert again.code == 0, (point, again.err)
        assert trial.states() == {"new"}, point
    assert counts[("commit", "table")] == counts[("committed", "table")] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_refused_publication_is_exit_4_and_heals(kind: str, forge: Forge, tmp_path: Path) -> None:
    """A disk that is full while a file is written, or a commit is made, costs that table only, and it heals."""
    trial = Trial(tmp_path, kind, forge)
    for point in (("write", "table file"), ("commit", "table")):
        trial.restore()
        refused = trial.run(Fault(*point, Action.ENOSPC))
        assert refused.code == 4, refused.err
        assert "No space left" in refused.out
        assert trial.state_of("image_versions") == "old"
        assert trial.state_of("image_version_events") == "new"
        assert trial.run().code == 0
        assert trial.states() == {"new"}


@pytest.mark.parametrize("kind", KINDS)
def test_every_fault_point_of_lakes_is_reached(kind: str, forge: Forge, tmp_path: Path) -> None:
    """A first publication, changes, a new column, and upkeep after a kill reach all that is registered."""
    trial = Trial(tmp_path, kind, forge)
    reached: set[Point] = set()
    (trial.folder / "lake").rename(trial.folder / "away")
    (trial.folder / "catalog.db").unlink(missing_ok=True)
    for number in range(11):
        trial.stock.change("us-east-1")
        aged(trial.shelf, timedelta(days=30))
        reached |= set(trial.run().reached)
        if number == 3:
            trial.stock.run_sql("ALTER TABLE image_versions ADD COLUMN note VARCHAR")
            leave_a_file(trial.shelf)
    assert {point for point in reached if point[1] in {"table", "table file", "upkeep"}} == POINTS
