"""Rows 41 to 43 and 47 of the list of faults: killed processes, disks with errors, and damaged files.

tests/faultpoints tests every fault point; these tests check the outcomes that the list states.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from image_history.durable.effects import install
from image_history.landing.files import seal, unsealed
from image_history.landing.runs import Landing
from image_history.schema import SCHEMA_VERSION
from image_history.simulator import FaultRule
from tests.behaviour.earlier import MIGRATIONS, make_earlier
from tests.faultpoints.faults import Fault, Tripwire
from tests.faults.trial import LARGE, Trial

LIST = "ListImageVersions"


def killed(trial: Trial, point: str) -> None:
    """Run a sync in a process of its own, which is killed at this fault point."""
    process = trial.site.faulty(f"{point}:kill:1", "sync", IMAGE_HISTORY_CHECKPOINT_ROWS="1")
    _, told = process.communicate(timeout=120)
    assert process.returncode == -9, told


@pytest.mark.parametrize("point", ["fetched.ListImageVersions", "rename.segment", "commit.transaction"])
def test_row_41_killed_sync(trial: Trial, point: str) -> None:
    """After a kill at a fetch, a rename or a commit, all segments can be read, and the next sync is right."""
    killed(trial, point)
    for run in Landing(trial.config.landing_folder).runs():
        for segment in run.segments:
            pq.read_table(segment)
    assert trial.sync().code == 0
    trial.site.assert_true()
    trial.assert_converges()


@pytest.mark.parametrize("action", ["ENOSPC", "EIO", "EACCES"])
def test_row_42_disk_that_refuses(begun: Trial, action: str) -> None:
    """If a write fails, the sync exits with 2 and names the file; the stored rows stay, and a later sync is right."""
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
    """Remove the second half of a file."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def newer(path: Path) -> None:
    """Give the plan the format of a later version of the program."""
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
    """A damaged or newer landing file ends the sync with 2, its name and `--fresh`, before any version is listed."""
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
def test_row_47_creation_that_was_killed(trial: Trial, point: str) -> None:
    """If a sync is killed while it creates the schema, the next sync completes the schema."""
    killed(trial, point)
    assert trial.sync().code == 0
    trial.site.assert_true()


EVENTS = "SELECT image_name, version, etl_change, etl_run_id FROM image_version_events ORDER BY ALL"


@pytest.mark.parametrize(
    "point",
    [f"statement.{MIGRATIONS[-1]}", "statement.session/record_migration", "statement.session/record_objects"],
)
def test_row_47_upgrade_that_was_killed(begun: Trial, point: str) -> None:
    """If a sync is killed while it upgrades the schema, the next sync completes it and keeps every event."""
    path, today = begun.config.warehouse, begun.site.folder / "today.duckdb"
    before = begun.site.ask(EVENTS)
    path.rename(today)
    make_earlier(path, SCHEMA_VERSION - 2, today)
    begun.site.world.update_version(LARGE, 7)
    killed(begun, point)
    assert begun.sync().code == 0
    assert begun.site.ask("SELECT max(number) FROM schema_migrations") == [(SCHEMA_VERSION,)]
    assert [row for row in begun.site.ask(EVENTS) if row[:3] != (LARGE, 7, "modified")] == before
    assert len(begun.site.ask(EVENTS)) == len(before) + 1
    begun.site.assert_true()
