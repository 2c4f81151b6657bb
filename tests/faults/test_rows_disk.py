"""Rows 41 to 43 and 47 of the list of faults: processes that are killed, disks that refuse, files that are damaged.

The fault points have a matrix of their own (tests/faultpoints); here are the outcomes that the list states.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from image_history.durable.effects import install
from image_history.landing.files import seal, unsealed
from image_history.landing.runs import Landing
from image_history.simulator import FaultRule
from tests.faultpoints.faults import Fault, Tripwire
from tests.faults.trial import LARGE, Trial

LIST = "ListImageVersions"


def killed(trial: Trial, point: str) -> None:
    """A sync in a process of its own that dies at this fault point."""
    process = trial.site.faulty(f"{point}:kill:1", "sync", IMAGE_HISTORY_CHECKPOINT_ROWS="1")
    _, told = process.communicate(timeout=120)
    assert process.returncode == -9, told


@pytest.mark.parametrize("point", ["fetched.ListImageVersions", "rename.segment", "commit.transaction"])
def test_row_41_killed_sync(trial: Trial, point: str) -> None:
    """Killed after a fetch, before a rename, before a commit: whole files only, and the next sync is right."""
    killed(trial, point)
    for run in Landing(trial.config.landing_folder).runs():
        for segment in run.segments:
            pq.read_table(segment)
    assert trial.sync().code == 0
    trial.site.assert_true()
    trial.assert_converges()


@pytest.mark.parametrize("action", ["ENOSPC", "EIO", "EACCES"])
def test_row_42_disk_that_refuses(begun: Trial, action: str) -> None:
    """A disk that is full, broken or forbidden: one clear sentence, and what was there can be read and goes on."""
    before = begun.site.stored()
    begun.site.world.update_version(LARGE, 7)
    remove = install(Tripwire(Fault.parse(f"write.segment:{action}:1"), lambda _: None))
    try:
        came = begun.sync()
    finally:
        remove()
    assert came.code == 2
    assert "/segment-000001" in came.message
    assert begun.site.stored() == before
    begun.assert_converges()


def cut(path: Path) -> None:
    """Take the second half of a file away."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newer(path: Path) -> None:
    """Let a later version have written the plan."""
    written = unsealed(path, dict)
    written["plan"]["format"] += 1
    path.write_bytes(seal(written))


@pytest.mark.parametrize(
    ("name", "damage"),
    [("segment-000002*", cut), ("plan.json", cut), ("plan.json", newer)],
    ids=["segment-cut", "plan-cut", "plan-newer"],
)
def test_row_43_checkpoints_that_cannot_be_read(
    trial: Trial, name: str, damage: Callable[[Path], None]
) -> None:
    """A damaged or newer checkpoint is refused with its file and what to do; nothing starts from "now"."""
    trial.spoil(FaultRule(kind="throttling", operation=LIST, image=LARGE, start=2))
    assert trial.sync().code == 6
    trial.site.simulator.faults = ()
    (run,) = Landing(trial.config.landing_folder).runs()
    (path,) = run.folder.glob(name)
    damage(path)
    came = trial.sync()
    assert came.code == 2
    assert path.name in came.message
    assert "--fresh" in came.message
    assert trial.site.calls(LIST) == 0
    assert trial.sync(fresh=True).code == 0
    trial.site.assert_true()
    trial.assert_converges()


@pytest.mark.parametrize("point", ["statement.session/record_migration", "statement.session/record_objects"])
def test_row_47_upgrade_that_was_killed(trial: Trial, point: str) -> None:
    """A kill in the middle of making or upgrading the schema leaves something that the next sync completes."""
    killed(trial, point)
    assert trial.sync().code == 0
    trial.site.assert_true()
