"""The error for a read-only file system or a full disk gives the reason and names the file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest

from image_history.durable import disk
from image_history.durable.disk import unwritable
from image_history.durable.effects import install
from image_history.errors import OutputError, WarehouseError
from image_history.formats import require_replaceable
from image_history.publish.folder import _refused, require_dataset
from image_history.warehouse.refusals import explained
from image_history.warehouse.unopened import ROWS_ARE_SAFE, unopened
from image_history.warehouse.warehouse import Connection, WarehouseFile

pytestmark = pytest.mark.duckdb


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose file system is reported as read-only."""

    def statvfs(_: object) -> SimpleNamespace:
        return SimpleNamespace(f_flag=os.ST_RDONLY)

    monkeypatch.setattr(disk, "os", SimpleNamespace(**{**vars(os), "statvfs": statvfs}))
    return tmp_path


def test_read_only_file_system_is_called_so(read_only: Path) -> None:
    """The errors of the warehouse, of a file and of a dataset say that the file system is read-only."""
    reason = "its file system is read-only"
    assert unwritable(read_only) == reason
    with pytest.raises(WarehouseError, match=rf"Cannot open the warehouse .*w\.duckdb: {reason}\."):
        WarehouseFile(read_only / "w.duckdb").require_writable()
    with pytest.raises(OutputError, match=rf"Cannot write .*x\.csv.*: .* cannot be written, {reason}\."):
        require_replaceable(read_only / "x.csv")
    with pytest.raises(OutputError, match=rf"Cannot publish to .*set.*: .* cannot be written, {reason}\."):
        require_dataset(read_only / "set")


@pytest.mark.parametrize(("published", "seen"), [(False, "Nothing was"), (True, "Its readers see what was")])
def test_failed_publication_says_what_its_readers_see(tmp_path: Path, published: bool, seen: str) -> None:
    """The error of a first publication does not tell of an earlier one."""
    (tmp_path / "set").mkdir()
    if published:
        (tmp_path / "set/current").symlink_to("snapshots/x")
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    told = str(_refused(tmp_path / "set", error))
    assert f"No space left on device. {seen} published" in told


@pytest.mark.parametrize("for_sync", [False, True])
def test_only_a_sync_is_told_of_the_landing_folder(for_sync: bool) -> None:
    """A reader of a locked warehouse is told to try again, a sync that its rows are safe."""
    text = 'IO Error: Could not set lock on file "w": Conflicting lock is held in /bin/duckdb (PID 7).'
    told = str(unopened(text, Path("w"), "2.0.1", for_sync=for_sync))
    assert told.startswith("The warehouse w is held by /bin/duckdb (process 7). Close it there")
    assert told.endswith(f"; {ROWS_ARE_SAFE}" if for_sync else "there, then try again.")


def test_folder_that_can_be_written(tmp_path: Path) -> None:
    """For a folder that can be written there is no reason."""
    assert unwritable(tmp_path) is None


def test_full_disk_at_the_first_load_names_the_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the warehouse and the full disk, not the temporary file that becomes the warehouse."""
    inner = Connection.run

    def full(connection: Connection, name: str, parameters: object = None) -> None:
        if name == "session/checkpoint":
            raise duckdb.FatalException(
                'FATAL Error: Failed to create checkpoint because of error: Could not write file ".w.duckdb.unborn": '
                "No space left on device"
            )
        inner(connection, name, parameters)  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "run", full)
    told = r"^Cannot use the warehouse \S+/w\.duckdb: No space left on device\. Make room on its disk;"
    file = WarehouseFile(tmp_path / "w.duckdb", for_sync=True)
    # With a hook on effects, the warehouse is created, and not copied from one that another test created.
    remove = install(lambda _effect, _subject: None)
    try:
        with pytest.raises(WarehouseError, match=told) as refused, file.writing():
            pass
    finally:
        remove()
    assert "unborn" not in str(refused.value)


def test_full_disk_of_a_question_names_the_way_out() -> None:
    """If the disk of temporary files is full, the error proposes TMPDIR."""
    error = explained(
        'IO Error: Could not write file "/tmp/x/duckdb_temp-0.tmp": No space left on device', {}
    )
    assert "let TMPDIR name a folder on another disk" in str(error)
