"""The state machine with an operator's actions: restored files, changed clocks, locks, allowed deletions.

Must not know how a warehouse is compared with the truth.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from image_history.cli.sync import exit_code
from image_history.errors import WarehouseLockedError
from image_history.model import Outcome
from image_history.run import hearing, pipeline
from image_history.simulator import VersionTruth
from image_history.warehouse import loader
from image_history.warehouse.warehouse import now_ms
from tests.behaviour.hinting import Killed
from tests.properties.machine import DAY_MS, STEPS, SYNCS, Machine, names, picks
from tests.properties.syncing import Backup

_KEPT = 3
# More deletions than the breaker allows in one run.
_MANY = 12
_HOUR_MS = 3_600_000
# A lock that outlasts the run.
_FOR_GOOD = 1_000

Kept = TypeVar("Kept")


@dataclass(frozen=True, slots=True)
class Copied:
    """A backup of the warehouse, and the images that since then only a full listing updates."""

    backup: Backup
    uncertain: set[str] = field(default_factory=set)


class Operating(Machine):
    """The same world, with an operator who changes the files, the local clock and the locks at random."""

    def __init__(self) -> None:
        super().__init__()
        self.copies: list[Copied] = []
        self.landings: list[Path] = []
        self.clock_ms = 0
        self._made = 0
        for module in (pipeline, hearing, loader):
            self.patch.setattr(module, "now_ms", lambda: now_ms() + self.clock_ms)
        self.patch.setattr(pipeline, "_PLANNING_WAIT_SECONDS", 0.001)

    def doubt(self, image_names: set[str]) -> None:
        super().doubt(image_names)
        for copied in self.copies:
            copied.uncertain.update(image_names)

    def _new(self, name: str) -> Path:
        self._made += 1
        return self.folder / f"{name}-{self._made}"

    @precondition(lambda self: self.warehouse.holds_runs)
    @rule()
    def back_up(self) -> None:
        """Copy the warehouse."""
        STEPS["back up"] += 1
        backup = self.warehouse.back_up(self._new("backup"))
        _keep(self.copies, Copied(backup, set(self.uncertain)))

    @precondition(lambda self: self.copies)
    @rule(pick=picks)
    def put_backup_back(self, pick: int) -> None:
        """Restore a copy of the warehouse."""
        STEPS["put backup back"] += 1
        copied = self.copies[pick % len(self.copies)]
        self.warehouse.put_back(copied.backup)
        self.uncertain |= copied.uncertain

    @precondition(lambda self: self.warehouse.landing.exists())
    @rule()
    def lose_landing(self) -> None:
        """Remove the landing folder, with all pending runs in it."""
        STEPS["lose landing"] += 1
        shutil.rmtree(self.warehouse.landing)

    @precondition(lambda self: self.warehouse.holds_runs and self.warehouse.landing.exists())
    @rule()
    def copy_landing(self) -> None:
        """Copy the landing folder."""
        STEPS["copy landing"] += 1
        _keep(self.landings, shutil.copytree(self.warehouse.landing, self._new("landing")))

    @precondition(lambda self: self.landings)
    @rule(pick=picks)
    def put_landing_back(self, pick: int) -> None:
        """Restore a copy of the landing folder: its runs may be loaded since the copy, or pending."""
        STEPS["put landing back"] += 1
        shutil.rmtree(self.warehouse.landing, ignore_errors=True)
        shutil.copytree(self.landings[pick % len(self.landings)], self.warehouse.landing)

    @rule(shift_ms=st.sampled_from([-3 * DAY_MS, -_HOUR_MS, -1, 1, _HOUR_MS, DAY_MS + _HOUR_MS, 3 * DAY_MS]))
    def set_local_clock(self, shift_ms: int) -> None:
        """Set the local clock forward or back: runs become older than tokens live, or lie in the future."""
        STEPS["set local clock"] += 1
        self.clock_ms += shift_ms

    @rule(full=st.booleans(), after=st.integers(0, 7), times=st.sampled_from([1, 2, _FOR_GOOD]))
    def sync_locked(self, full: bool, after: int, times: int) -> None:
        """Sync while another program locks the warehouse, briefly or for good; what the sync read is kept."""
        STEPS["sync locked"] += 1
        try:
            with self.warehouse.locked(after, times):
                self._run(full=full)
        except WarehouseLockedError:
            self.unended("locked")

    @rule(full=st.booleans(), after=st.integers(1, 60))
    def sync_killed(self, full: bool, after: int) -> None:
        """Kill a sync before one of its lasting effects; a later run continues with what it left."""
        STEPS["sync killed"] += 1
        try:
            with self.warehouse.killed(after):
                self._run(full=full, quiet=False)
        except Killed:
            self.unended("killed")

    @rule(name=names, backed_up=st.booleans())
    def delete_many(self, name: str, backed_up: bool) -> None:
        """Delete too many versions: every run holds them back, also after a restored backup, unless allowed."""
        STEPS["delete many"] += 1
        if not self.has(name) or not self._grown(name):
            return
        self._run(full=True)
        for row in self._changeable(name)[:-1]:
            self.changing(row)
            self.world.delete_version(name, row.version, scope=self.place(name))
        first = self._run(full=True, allow=False)
        if first.report.resumed or exit_code(first.report) != 9:
            return
        SYNCS["held back"] += 1
        assert first.report.outcome is Outcome.HELD_BACK
        if backed_up:
            self.back_up()
            self.put_backup_back(-1)
        again = self._run(full=False, allow=False)
        assert exit_code(again.report) == 9, again.report
        allowed = self._run(full=False, allow=True)
        if not self.simulator.behaviour.list_lag_ms:
            assert exit_code(allowed.report) == 0, allowed.report

    def _changeable(self, name: str) -> list[VersionTruth]:
        return [row for row in self.existing(name) if row.status != "DELETING"]

    def _grown(self, name: str) -> bool:
        """Create versions until the image has more of them than may be deleted at once."""
        for _ in range(_MANY + 1 - len(self._changeable(name))):
            self.later()
            self.world.create_version(name, scope=self.place(name))
        return len(self._changeable(name)) > _MANY


def _keep(kept: list[Kept], new: Kept) -> None:
    """Add an item, and drop the oldest."""
    kept.append(new)
    del kept[:-_KEPT]
