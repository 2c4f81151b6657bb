"""Runs a whole sync with every fault at every effect, and follows each fault with a clean sync.

Must not know how the connector recovers; checks only what the tables hold at the end.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from image_history.simulator import Simulator, VirtualClock, World
from tests.faultpoints.faults import ONLY_KILLED, REFUSALS, Action, Fault, Point
from tests.faultpoints.forking import Command, Ended, Forge
from tests.faultpoints.table import NOTHING
from tests.looking import looking

NOON_MS = 1_790_000_000_000
MAIN, ODD, EMPTY = "111122223333", "222233334444", "333344445555"
REGION = "us-east-1"
# Each segment holds one page, and one page is read at a time: every run has the same effects in the same order.
STEADY = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "IMAGE_HISTORY_PAGE_SIZE": "2",
    "IMAGE_HISTORY_CONCURRENCY": "1",
    "IMAGE_HISTORY_CHECKPOINT_ROWS": "1",
    "IMAGE_HISTORY_CHECKPOINT_SECONDS": "3600",
    "IMAGE_HISTORY_LOCK_WAIT": "200ms",
    "IMAGE_HISTORY_RATE__LIST_PER_SECOND": "10000",
    "IMAGE_HISTORY_RATE__DESCRIBE_PER_SECOND": "10000",
}
# The receiver stores each message as one line.
TOLD = "told.jsonl"
RECEIVER = json.dumps([{"run": ["/bin/sh", "-c", f"cat >> {TOLD}; echo >> {TOLD}"]}])


@dataclass(frozen=True, slots=True)
class Mode:
    """One kind of sync: the account that it reads, its options, and whether the account was synced before."""

    name: str
    account_id: str
    arguments: tuple[str, ...] = ("sync",)
    synced: bool = True
    codes: frozenset[int] = frozenset({0})
    details: bool = False
    notify: bool = False


MODES = {
    mode.name: mode
    for mode in (
        Mode("first", MAIN, synced=False),
        Mode("incremental", MAIN),
        Mode("full", MAIN, ("sync", "--full", "--accept-account")),
        Mode("breaker", ODD, codes=frozenset({9})),
        Mode("empty", EMPTY, synced=False),
        Mode("details", MAIN, details=True),
        Mode("notify", MAIN, codes=frozenset({0, 4}), notify=True),
    )
}


def make_world() -> World:
    """Three accounts as they are at the first sync, and a clock that stands still."""
    world = World(accounts=[MAIN, ODD, EMPTY], regions=[REGION], clock=VirtualClock(frozen_at=NOON_MS))
    for account, name, versions in (
        (MAIN, "holes", 9),
        (MAIN, "single", 1),
        (MAIN, "gone", 1),
        (ODD, "large", 15),
    ):
        world.create_image(name, scope=(account, REGION))
        for _ in range(versions):
            world.create_version(name, scope=(account, REGION))
    for number in range(3, 8):
        world.delete_version("holes", number, scope=(MAIN, REGION))
    return world


def change(world: World) -> None:
    """Make the changes that incremental syncs find: new, changed and deleted versions, a lost image, a new status."""
    world.clock.advance(3_600_000)
    scope = (MAIN, REGION)
    for _ in range(2):
        world.create_version("holes", scope=scope)
    world.update_version("holes", 1, scope=scope)
    world.delete_version("holes", 8, scope=scope)
    world.set_status("single", 1, "POLISHED", scope=scope)
    world.delete_image("gone", scope=scope)
    world.create_image("new", scope=scope)
    world.create_version("new", scope=scope)
    world.delete_image("large", scope=(ODD, REGION))


def loaded_runs(folder: Path) -> set[str]:
    """The ids of the runs in a folder's warehouse."""
    with looking(folder / "image-history.duckdb") as connection:
        return {run_id for (run_id,) in connection.execute("SELECT etl_run_id FROM runs").fetchall()}


def told(folder: Path) -> set[tuple[str, str]]:
    """The news that a folder's receiver got, by kind and subject."""
    file = folder / TOLD
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return {(item["news"], item["subject"]) for line in lines if line for item in json.loads(line)["news"]}


@dataclass(slots=True)
class Figures:
    """The results of a matrix."""

    cases: int = 0
    by_action: Counter[str] = field(default_factory=Counter)
    codes: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        """Add the results of another part of the matrix."""
        self.cases += other.cases
        self.by_action += other.by_action
        self.codes += other.codes
        self.wrong += other.wrong

    def __str__(self) -> str:
        actions = ", ".join(f"{count} {action}" for action, count in sorted(self.by_action.items()))
        return f"{self.cases} faults ({actions}), {len(self.wrong)} wrong"


@dataclass(slots=True)
class Matrix:
    """Runs syncs with faults; `undisturbed` and `told` hold the results of syncs without a fault, by mode."""

    folder: Path
    simulator: Simulator
    forge: Forge
    undisturbed: dict[str, Ended] = field(default_factory=dict)
    reached: set[Point] = field(default_factory=set)
    told: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    number: int = 0

    def prepare(self) -> None:
        """Sync every account once, change the world, and run every mode once without a fault."""
        synced: dict[tuple[str, bool, bool], Path] = {}
        for mode in MODES.values():
            template, alike = self.template(mode), (mode.account_id, mode.details, mode.notify)
            same = synced.get(alike)
            if not mode.synced:
                template.mkdir(parents=True)
            elif same is None:
                template.mkdir(parents=True)
                self._expect(self.run(template, mode, first=True), 0)
                synced[alike] = template
            else:
                shutil.copytree(same, template)
        change(self.simulator.world)
        for mode in MODES.values():
            folder = self.copy(mode)
            ended = self.run(folder, mode)
            self._expect(ended, *mode.codes)
            self.undisturbed[mode.name], self.told[mode.name] = ended, told(folder)

    def template(self, mode: Mode) -> Path:
        """The folder that holds the warehouse of a mode before its sync."""
        return self.folder / f"template-{mode.name}"

    def copy(self, mode: Mode) -> Path:
        """A new copy of the template folder."""
        self.number += 1
        folder = self.folder / f"case-{self.number}"
        shutil.copytree(self.template(mode), folder)
        return folder

    def run(self, folder: Path, mode: Mode, *, fault: Fault | None = None, first: bool = False) -> Ended:
        """One sync of a mode in a folder."""
        arguments = ("sync",) if first else mode.arguments
        environment = STEADY | self.simulator.environment(mode.account_id)
        environment["IMAGE_HISTORY_DETAILS"] = str(mode.details).lower()
        if mode.notify:
            environment["IMAGE_HISTORY_NOTIFY"] = RECEIVER
        ended = self.forge.run(
            Command(
                str(folder),
                arguments,
                environment,
                None if fault is None else str(fault),
                ("before", "after") if fault is None else (),
            )
        )
        self.reached |= set(ended.reached)
        return ended

    def _expect(self, ended: Ended, *codes: int) -> None:
        if ended.code not in codes:
            raise AssertionError(f"exit {ended.code}: {ended.err}")

    def faults(self, mode: Mode, actions: Sequence[Action]) -> Iterator[Fault]:
        """Every effect of the undisturbed run, with every action that can happen there."""
        counts: Counter[Point] = Counter()
        for point in self.undisturbed[mode.name].reached:
            counts[point] += 1
            for action in actions:
                if action is Action.KILL or point[0] not in ONLY_KILLED:
                    yield Fault(*point, action, counts[point])

    def play(self, mode: Mode, faults: Sequence[Fault]) -> Figures:
        """Run each fault in its own folder, then a clean sync, and report what is wrong afterwards."""
        figures = Figures()
        for fault in faults:
            folder = self.copy(mode)
            disturbed = self.run(folder, mode, fault=fault)
            clean = self.run(folder, mode)
            figures.cases += 1
            figures.by_action[fault.action] += 1
            figures.codes[disturbed.code] += 1
            figures.wrong += [
                f"{mode.name} {fault}: {problem}"
                for problem in (*self._disturbed(mode, fault, disturbed, clean), *self._clean(mode, clean))
            ]
            if untold := self.told[mode.name] - told(folder):
                figures.wrong.append(f"{mode.name} {fault}: the receiver did not get {sorted(untold)}")
            shutil.rmtree(folder)
        return figures

    def _disturbed(self, mode: Mode, fault: Fault, ended: Ended, clean: Ended) -> Iterator[str]:
        """What is wrong with the disturbed sync; `clean` shows what it left in the warehouse."""
        whole = self.undisturbed[mode.name]
        if clean.before not in {whole.before, whole.after, NOTHING}:
            yield "the warehouse was left half-written"
        if fault.action is Action.KILL:
            if ended.code != -9:
                yield f"it was not killed, but exited with {ended.code}"
            return
        if "Traceback" in ended.err:
            yield "a traceback"
        if ended.code in mode.codes and clean.before == whole.after:
            return  # only the clean-up failed, and the log reports that
        if ended.code != 2 or not ended.sentence.startswith("image-history: "):
            yield f"it exited with {ended.code}: {ended.sentence}"
        if os.strerror(_number(fault)) not in ended.sentence:
            yield f"the sentence does not say why: {ended.sentence}"

    def _clean(self, mode: Mode, ended: Ended) -> Iterator[str]:
        whole = self.undisturbed[mode.name]
        committed_before = ended.before == whole.after
        if ended.code not in mode.codes and not committed_before:
            yield f"the clean sync exited with {ended.code}: {ended.err}"
        if ended.after != whole.after:
            yield "the clean sync did not end with the undisturbed tables"


def _number(fault: Fault) -> int:
    number: int = getattr(errno, fault.action.value)
    return number


ALL_ACTIONS = (Action.KILL, *REFUSALS)
