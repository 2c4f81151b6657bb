"""What a disk refuses is called by its name, and so is the file: a read-only file system, a full disk."""

from __future__ import annotations

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
from image_history.publish.folder import require_dataset
from image_history.warehouse.refusals import explained
from image_history.warehouse.warehouse import Connection, WarehouseFile

pytestmark = pytest.mark.duckdb


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder whose file system counts as read-only."""

    def statvfs(_: object) -> SimpleNamespace:
        return SimpleNamespace(f_flag=os.ST_RDONLY)

    monkeypatch.setattr(disk, "os", SimpleNamespace(**{**vars(os), "statvfs": statvfs}))
    return tmp_path


def test_read_only_file_system_is_called_so(read_only: Path) -> None:
    """By the warehouse, by a file and by a dataset."""
    reason = "its file system is read-only"
    assert unwritable(read_only) == reason
    with pytest.raises(WarehouseError, match=rf"Cannot open the warehouse .*w\.duckdb: {reason}\."):
        WarehouseFile(read_only / "w.duckdb").require_writable()
    with pytest.raises(OutputError, match=rf"Cannot write .*x\.csv.*: .* cannot be written, {reason}\."):
        require_replaceable(read_only / "x.csv")
    with pytest.raises(OutputError, match=rf"Cannot publish to .*set.*: .* cannot be written, {reason}\."):
        require_dataset(read_only / "set")


def test_folder_that_can_be_written(tmp_path: Path) -> None:
    """Nothing speaks against it."""
    assert unwritable(tmp_path) is None


def test_full_disk_at_the_first_load_names_the_warehouse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the file that it is made in, which nobody knows; and it is not called damaged."""
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
    file = WarehouseFile(tmp_path / "w.duckdb")
    # Whoever watches effects gets a warehouse that is made, and no copy of one that another test made.
    remove = install(lambda _effect, _subject: None)
    try:
        with pytest.raises(WarehouseError, match=told) as refused, file.writing():
            pass
    finally:
        remove()
    assert "unborn" not in str(refused.value)


def test_full_disk_of_a_question_names_the_way_out() -> None:
    """The folder is that of temporary files."""
    error = explained(
        'IO Error: Could not write file "/tmp/x/duckdb_temp-0.tmp": No space left on device', {}
    )
    assert "let TMPDIR name a folder on another disk" in str(error)
