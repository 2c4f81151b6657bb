"""A Hypothesis state machine: a simulated AWS that changes, and the real connector that must follow the changes.

Drives `sync` over HTTP and reads the warehouse with SQL; must not know how either works inside.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from image_history.errors import InterruptedRunError
from image_history.run.visible import Rhythm
from image_history.simulator import Behaviour, Simulator, VersionRecord, VersionTruth, VirtualClock, World
from tests.properties.journal import Journal, Life
from tests.properties.syncing import AWAY, EAGER, HOME, START_MS, Done, Faults, Warehouse

NAMES = ("alpha", "beta", "gamma")
# Two images are in one region, the third is in the other: two scopes, which can be loaded separately.
PLACES = {"alpha": HOME, "beta": HOME, "gamma": AWAY}
DAY_MS = 86_400_000
# A rule takes little time, a sync some tenths of a second. The versions of one step fill several pages of three.
names = st.sampled_from(NAMES)
picks = st.integers(0, 30)
calls = st.integers(1, 12)
KINDS = ("create", "touch", "delete", "delete image")

STEPS: Counter[str] = Counter()
# The number of syncs, and the number of each result.
SYNCS: Counter[str] = Counter()


class Machine(RuleBasedStateMachine):
    """Makes changes and faults in any order, with syncs between them, and compares each sync with the truth.

    `uncertain` are images of which a list has hidden a change, or whose times went backwards: only a full
    listing updates them. `lied` is true if a run that did not end may hold two wrong lists.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.world = World(clock=VirtualClock(frozen_at=START_MS), regions=(HOME, AWAY))
        self.simulator = Simulator(self.world)
        self.simulator.__enter__()
        self.patch = pytest.MonkeyPatch()
        for name, value in self.simulator.environment().items():
            self.patch.setenv(name, value)
        self.faults = Faults(self.simulator)
        self.warehouse = Warehouse(self.folder, self.simulator, Journal(self.world))
        self.warehouse.journal.begin(self.patch)
        self.uncertain: set[str] = set()
        self.lied = False

    def teardown(self) -> None:
        """Unless a check failed, run the final syncs; then close what is open."""
        try:
            if sys.exc_info()[0] is None:
                self._end()
        finally:
            self._close()

    def _end(self) -> None:
        """Without lag and changes, full runs make the store equal the truth; the first may resume an older run."""
        self.faults.denied = False
        self.simulator.behaviour = replace(self.simulator.behaviour, list_lag_ms=0)
        self._run(full=True)
        assert self._run(full=True).whole

    def _close(self) -> None:
        SYNCS["in parts"] += self.warehouse.in_parts()
        self.simulator.__exit__(None, None, None)
        self.patch.undo()
        shutil.rmtree(self.folder, ignore_errors=True)

    def existing(self, name: str) -> list[VersionTruth]:
        """The versions of one image."""
        return self.world.truth(image_name=name)

    def place(self, name: str) -> tuple[str, str]:
        """The account and the region of the image."""
        return self.world.default_scope.account_id, PLACES[name]

    def has(self, name: str) -> bool:
        """Whether the image exists and can be changed."""
        return any(image.status == "CREATED" for image in self.world.image_truth(image_name=name))

    def picked(self, name: str, pick: int) -> VersionTruth | None:
        """One of the image's versions that can be changed."""
        rows = [row for row in self.existing(name) if row.status != "DELETING"]
        return rows[pick % len(rows)] if rows else None

    def later(self) -> None:
        """Advance the clock, so that no two changes share a millisecond: creation times tell versions apart."""
        self.world.clock.advance(1)

    def changing(self, row: VersionTruth) -> None:
        """A change that moves the time of last modification back is not seen by a listing that is newest first."""
        self.later()
        if row.last_modified_ms > self.world.clock.now_ms():
            self.doubt({row.image_name})

    def doubt(self, image_names: set[str]) -> None:
        """Mark images of which only a full listing shows the true state."""
        self.uncertain |= image_names

    @initialize(in_parts=st.booleans())
    def begin(self, in_parts: bool) -> None:
        """Create an image of three pages; the syncs load a region while the other is read, or load all at once."""
        self.world.create_image("alpha")
        for _ in range(7):
            self.world.create_version("alpha")
        self.warehouse.rhythm = EAGER if in_parts else Rhythm()

    @rule(name=names, count=st.integers(1, 5), failed=st.booleans())
    def create(self, name: str, count: int, failed: bool) -> None:
        """Create versions, and their image if it does not exist."""
        STEPS["create"] += 1
        self.later()
        if not self.world.image_truth(image_name=name):
            self.world.create_image(name, scope=self.place(name))
        if self.has(name) or self.simulator.behaviour.create_ms:
            for _ in range(count):
                self.world.create_version(
                    name, failure_reason="no such layer" if failed else None, scope=self.place(name)
                )

    @rule(name=names, pick=picks, failed=st.booleans())
    def touch(self, name: str, pick: int, failed: bool) -> None:
        """Update a version, or let it fail."""
        STEPS["touch"] += 1
        self._touch(name, pick, failed=failed)

    def _touch(self, name: str, pick: int, *, failed: bool) -> None:
        row = self.picked(name, pick)
        if row is None:
            return
        self.changing(row)
        if failed:
            self.world.set_status(
                name, row.version, "DELETE_FAILED", failure_reason="in use", scope=self.place(name)
            )
        else:
            self.world.update_version(name, row.version, scope=self.place(name))

    @rule(name=names, pick=picks)
    def delete(self, name: str, pick: int) -> None:
        """Delete a version."""
        STEPS["delete"] += 1
        self._delete(name, pick)

    def _delete(self, name: str, pick: int) -> None:
        row = self.picked(name, pick)
        if row is not None:
            self.changing(row)
            self.world.delete_version(name, row.version, scope=self.place(name))

    @rule(name=names, again=st.integers(0, 4))
    def delete_image(self, name: str, again: int) -> None:
        """Delete an image with all its versions, and perhaps create it again with fewer."""
        STEPS["delete image"] += 1
        if not self.has(name):
            return
        for row in self.existing(name):
            self.changing(row)
        self.world.delete_image(name, scope=self.place(name))
        if again and not self.world.image_truth(image_name=name):
            self.later()
            self.world.create_image(name, scope=self.place(name))
            for _ in range(again):
                self.world.create_version(name, scope=self.place(name))

    @rule(name=names, pick=picks, shift_ms=st.sampled_from([-DAY_MS, -60_000, -1, 0, 1, 60_000, DAY_MS]))
    def put(self, name: str, pick: int, shift_ms: int) -> None:
        """Give a version a time of last modification that no change at AWS gives."""
        STEPS["put"] += 1
        row = self.picked(name, pick)
        if row is None:
            return
        record = VersionRecord(
            version=row.version,
            creation_ms=row.creation_ms,
            last_modified_ms=max(row.creation_ms, row.last_modified_ms + shift_ms),
            status="CREATE_FAILED",
            failure_reason=f"put at {self.world.clock.now_ms()}",
        )
        self.world.put_version(name, record, scope=self.place(name))
        self.warehouse.put.add(Life(name, row.version, row.creation_ms))
        self.doubt({name})

    @rule(milliseconds=st.sampled_from([1, 999, 1500, 60_000, 1_200_000, DAY_MS + 1]))
    def advance(self, milliseconds: int) -> None:
        """Advance the clock."""
        STEPS["advance"] += 1
        self.world.clock.advance(milliseconds)

    @rule(
        tokens=st.sampled_from(["keyset", "offset", "snapshot"]),
        ties=st.sampled_from(["ascending", "descending", "shuffled"]),
        filtering=st.sampled_from(["filter_then_page", "page_then_filter"]),
        slow_ms=st.sampled_from([0, 0, 30_000]),
    )
    def switch(self, tokens: str, ties: str, filtering: str, slow_ms: int) -> None:
        """Change how AWS pages, sorts or creates."""
        STEPS["switch"] += 1
        self.simulator.behaviour = Behaviour(
            tokens=tokens,  # type: ignore[arg-type]  # one of the three
            tie_order=ties,  # type: ignore[arg-type]  # one of the three
            filtering=filtering,  # type: ignore[arg-type]  # one of the two
            create_ms=slow_ms,
            delete_ms=slow_ms // 2,
            list_lag_ms=self.simulator.behaviour.list_lag_ms,
        )

    # With Describe denied, two stale lists in a row look exactly like two lists after a deletion.
    @precondition(lambda self: not self.faults.denied)
    @rule(lag_ms=st.sampled_from([0, 1, 10_000, 60_000]))
    def lag(self, lag_ms: int) -> None:
        """Let lists return an older state than Describe."""
        STEPS["lag"] += 1
        self.simulator.behaviour = replace(self.simulator.behaviour, list_lag_ms=lag_ms)

    @precondition(lambda self: not self.simulator.behaviour.list_lag_ms and not self.lied)
    @rule(denied=st.booleans())
    def deny(self, denied: bool) -> None:
        """Deny DescribeImageVersion, or allow it again."""
        STEPS["deny"] += 1
        self.faults.denied = denied

    @rule(name=names, pick=picks, times=st.integers(1, 4), full=st.booleans())
    def sync_omitting(self, name: str, pick: int, times: int, full: bool) -> None:
        """Run a sync in which the lists of an image omit a version that exists."""
        STEPS["sync omitting"] += 1
        row = self.picked(name, pick)
        if row is not None:
            self.faults.omit(name, row.version, 1 if self.faults.denied else times)
        self._run(full=full)

    @rule(count=st.integers(1, 2))
    def throttle(self, count: int) -> None:
        """Throttle the next calls."""
        STEPS["throttle"] += 1
        self.faults.throttled = count

    @rule(full=st.booleans())
    def sync(self, full: bool) -> None:
        """Run a sync without disturbance."""
        STEPS["sync"] += 1
        self._run(full=full)

    @rule(full=st.booleans(), after=calls, name=names, pick=picks, kind=st.sampled_from(KINDS))
    def sync_meanwhile(self, full: bool, after: int, name: str, pick: int, kind: str) -> None:
        """Run a sync during which something changes."""
        STEPS["sync meanwhile"] += 1
        self.faults.at(after, lambda: self._meanwhile(kind, name, pick))
        self._run(full=full, quiet=False)

    @rule(full=st.booleans(), after=calls)
    def interrupted(self, full: bool, after: int) -> None:
        """Interrupt a run after some calls; a later run continues with what it read."""
        STEPS["interrupted"] += 1
        self.faults.at(after, self.warehouse.interrupt)
        try:
            self._run(full=full, quiet=False)
        except InterruptedRunError:
            self.unended("interrupted")

    def unended(self, how: str) -> None:
        """Record a run that did not end; a later run continues it."""
        SYNCS[how] += 1
        self.lied |= self.simulator.behaviour.list_lag_ms > 0
        self.warehouse.check()

    def _meanwhile(self, kind: str, name: str, pick: int) -> None:
        if kind == "create" and self.has(name):
            self.later()
            self.world.create_version(name, scope=self.place(name))
        elif kind == "touch":
            self._touch(name, pick, failed=False)
        elif kind == "delete":
            self._delete(name, pick)
        elif kind == "delete image" and self.has(name):
            for row in self.existing(name):
                self.changing(row)
            self.world.delete_image(name, scope=self.place(name))

    def _run(self, *, full: bool, allow: bool | None = None, quiet: bool = True) -> Done:
        """Sync, check what always holds, and compare with the truth if nothing disturbed the run."""
        lag_ms, began_ms = self.simulator.behaviour.list_lag_ms, self.world.clock.now_ms()
        SYNCS["all"] += 1
        try:
            done = self.warehouse.sync(full=full, allow=allow)
        finally:
            omitted = self.faults.reset()
            self.doubt(omitted)
            if lag_ms:
                self.warehouse.lags.append((began_ms - lag_ms, self.world.clock.now_ms()))
        self.warehouse.check()
        if quiet and not lag_ms and not omitted and done.whole:
            self._compare(full=full)
        return done

    def _compare(self, *, full: bool) -> None:
        self.warehouse.compare(uncertain=frozenset() if full else frozenset(self.uncertain))
        SYNCS["equal to the truth"] += 1
        if full:
            self.uncertain.clear()
            self.warehouse.compare_history()
