"""Publishes a dataset with every fault at every effect, and follows each fault with a clean publication.

Must not know how a publication works; checks only that readers find the old or the new dataset, complete.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.behaviour.publishing import Stock, by_glob, by_manifest, manifest, plain
from tests.faultpoints.faults import ONLY_KILLED, Action, Fault, Point
from tests.faultpoints.forking import Command, Ended, Forge
from tests.faultpoints.matrix import ALL_ACTIONS, STEADY, Figures

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("image_versions", "image_version_events")
BEFORE = ("export", "--dataset", "dataset", "image_versions", "runs")
AFTER = ("export", "--dataset", "dataset", *TABLES)
# The snapshot that an interrupted publication left.
LEFT = "20260101T000000-0123abcd"
# The publication succeeds although one of these is refused; the log reports what was not cleaned up.
CLEAN_UP = {
    ("remove tree", "dataset"),
    ("unlink", "dataset"),
    ("remove tree", "spill"),
    ("close", "connection"),
}
SHOWN = ("fsync folder", "current")


@dataclass(slots=True)
class PublishMatrix:
    """Publishes with faults. The old dataset has other tables, and leftovers of an interrupted publication."""

    folder: Path
    forge: Forge
    reached: list[Point] = field(default_factory=list)
    number: int = 0
    old: pa.Table = None
    new: pa.Table = None

    def prepare(self) -> None:
        """Publish once, change one region, and publish a second time without a fault."""
        template = self.folder / "template"
        template.mkdir(parents=True)
        stock = Stock(template, rows_of_a_region=10).fill()
        assert self.run(template, BEFORE).code == 0
        self.old = stock.stored()
        stock.change("us-east-1")
        self.new = stock.stored()
        (template / "dataset" / "snapshots" / LEFT).mkdir()
        (template / "dataset" / ".current.next").symlink_to(f"snapshots/{LEFT}")
        undisturbed = self.run(self.copy(), AFTER)
        assert undisturbed.code == 0, undisturbed.err
        self.reached = undisturbed.reached

    def copy(self) -> Path:
        """A new copy of the template folder."""
        self.number += 1
        folder = self.folder / f"case-{self.number}"
        shutil.copytree(self.folder / "template", folder, symlinks=True)
        return folder

    def run(self, folder: Path, arguments: Sequence[str], fault: Fault | None = None) -> Ended:
        """Publish once in a folder, with the fault if one is given."""
        given = None if fault is None else str(fault)
        return self.forge.run(Command(str(folder), tuple(arguments), STEADY, given, ()))

    def faults(self, actions: Sequence[Action] = ALL_ACTIONS) -> Iterator[Fault]:
        """Every effect of the undisturbed publication, with every action that can happen there."""
        counts: Counter[Point] = Counter()
        for point in self.reached:
            counts[point] += 1
            for action in actions:
                if action is Action.KILL or point[0] not in ONLY_KILLED:
                    yield Fault(*point, action, counts[point])

    def play(self, faults: Sequence[Fault]) -> Figures:
        """Run each fault in its own folder, then a clean publication, and report what is wrong afterwards."""
        figures = Figures()
        for fault in faults:
            folder = self.copy()
            disturbed = self.run(folder, AFTER, fault)
            figures.cases += 1
            figures.by_action[fault.action] += 1
            figures.codes[disturbed.code] += 1
            problems = (*self._disturbed(folder, fault, disturbed), *self._completed(folder))
            figures.wrong += [f"publish {fault}: {problem}" for problem in problems]
            shutil.rmtree(folder)
        return figures

    def _disturbed(self, folder: Path, fault: Fault, ended: Ended) -> Iterator[str]:
        found = self._read(folder)
        if found is None:
            yield "readers find no dataset, or two that differ"
        elif fault.action is Action.KILL:
            if ended.code != -9:
                yield f"it was not killed, but exited with {ended.code}"
        elif (fault.effect, fault.subject) in CLEAN_UP:
            if ended.code != 0 or found != "new":
                yield f"what could not be cleaned up undid the publication: {ended.code}, {found}"
        else:
            yield from _refused(fault, ended, found)

    def _completed(self, folder: Path) -> Iterator[str]:
        ended = self.run(folder, AFTER)
        if ended.code != 0:
            yield f"the clean publication exited with {ended.code}: {ended.err}"
            return
        if self._read(folder) != "new":
            yield "the clean publication is not the new dataset"
        dataset = folder / "dataset"
        document = manifest(dataset)
        known = {document["publication"]} | {gone["path"].split("/")[1] for gone in document["superseded"]}
        left = {path.name for path in (dataset / "snapshots").iterdir()} - known
        if left:
            yield f"it left {left}"

    def _read(self, folder: Path) -> str | None:
        """Which dataset readers find, `old` or `new`; None if the path and the manifest lead to different rows."""
        found = plain(by_glob(folder / "dataset"))
        if not found.equals(plain(by_manifest(folder / "dataset"))):
            return None
        return "old" if found.equals(self.old) else "new" if found.equals(self.new) else None


def _refused(fault: Fault, ended: Ended, found: str) -> Iterator[str]:
    """What is wrong with the end of a publication that the disk refused."""
    if ended.code != 2 or "Traceback" in ended.err:
        yield f"it exited with {ended.code}: {ended.err}"
    if os.strerror(getattr(errno, fault.action.value)) not in ended.sentence:
        yield f"the sentence does not say why: {ended.sentence}"
    if found != ("new" if (fault.effect, fault.subject) == SHOWN else "old"):
        yield f"readers find the {found} dataset"
