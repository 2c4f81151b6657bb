"""`check` names a program that keeps the warehouse open, also if it only reads: every load waits for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from image_history.errors import WarehouseLockedError
from image_history.simulator import generate
from image_history.warehouse import holders
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.checking import MakeBench
from tests.behaviour.checking import bench as bench  # noqa: PLC0414 - a fixture
from tests.behaviour.test_refusals import held

pytestmark = pytest.mark.duckdb

LOCKED = "import fcntl, sys; f = open(sys.argv[1]); fcntl.lockf(f, fcntl.LOCK_SH); print('open', flush=True); input()"


def test_reader_that_blocks_every_load_is_named(bench: MakeBench) -> None:
    """A program that keeps the warehouse open to read is a warning that names it; once it is closed, all is well."""
    desk = bench(generate(23, images=1))
    desk.site.sync()
    warehouse = desk.site.config.warehouse
    with held(warehouse, read_only=True) as process:
        code, (trouble,) = desk.troubles()
        with pytest.raises(WarehouseLockedError, match=str(process)), WarehouseFile(warehouse, 0.1).writing():
            pass
    assert (code, trouble["check"], trouble["level"]) == (0, "warehouse", "warning")
    assert f"(process {process}) keeps it open. Every load waits" in trouble["message"]
    assert desk.troubles() == (0, [])


def test_holder_is_the_process_that_has_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock of another process names it; without locks, without a file, or on another system there is no holder."""
    path = tmp_path / "file"
    assert holders.lasting_holder(path, 0) is None
    path.touch()
    assert holders.lasting_holder(path, 0) is None
    with subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        assert f"process {process.pid}" in (holders.lasting_holder(path, 0) or "")
        monkeypatch.setattr(sys, "platform", "other")
        assert holders.lasting_holder(path, 0) is None
        process.communicate("\n", timeout=60)


@pytest.mark.parametrize("process", [0, -1])
def test_process_of_another_container_has_no_number(
    process: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a process id the holder is another process."""
    monkeypatch.setattr(holders, "_holder", lambda _: process)
    assert holders.lasting_holder(tmp_path, 0) == "another process"


def test_holder_is_found_through_a_link(bench: MakeBench) -> None:
    """A warehouse that is a symbolic link has the holder of the file that it names."""
    desk = bench(generate(23, images=1))
    desk.site.sync()
    warehouse = desk.site.config.warehouse
    file = warehouse.rename(warehouse.with_name("file.duckdb"))
    warehouse.symlink_to(file.name)
    with held(file, read_only=True) as process:
        _, (trouble,) = desk.troubles()
    assert f"(process {process})" in trouble["message"]


def test_processes_that_follow_each_other_hold_nothing_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only one process that keeps the file open for the whole time is named."""
    processes = iter(range(900_001, 900_100))
    monkeypatch.setattr(holders, "_holder", lambda _: next(processes))
    assert holders.lasting_holder(tmp_path, 60) is None
