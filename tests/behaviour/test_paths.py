"""Every path means a file; a full disk or an old log is reported, and does no harm."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from image_history.config import Config, Publish
from image_history.errors import WarehouseError
from image_history.warehouse.warehouse import Connection
from tests.behaviour.belongings import small
from tests.behaviour.harness import ServeWorld

pytestmark = pytest.mark.duckdb

ODD = (":memory:", "md:x", "sqlite:x", "a?x=1.duckdb", "x.duckdb?user=1#2", "-", "a b'c\".duckdb")


@pytest.mark.parametrize("name", ODD)
def test_path_is_a_file_of_that_name(served: ServeWorld, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that DuckDB would take for another kind of database is a file's name: a second sync finds the file."""
    site = small(served)
    monkeypatch.chdir(site.folder)
    for inserted in (10, 0):
        assert site.sync(warehouse=Path(name)).rows.inserted == inserted
    assert (site.folder / name).is_file()
    for suffix in ("wal", "unborn", "unborn.wal"):
        assert not (site.folder / f".{name}.{suffix}").exists()


def test_home_is_expanded_in_python_and_in_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` is the user's home in every path of the configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    config = Config(
        warehouse=Path("~/a.duckdb"),
        landing=Path("~/rows"),
        queries=Path("~/sql"),
        publish=(Publish(to="~/published"), Publish(to="~/report.html")),
    )
    assert (config.warehouse, config.landing, config.queries) == (
        tmp_path / "a.duckdb",
        tmp_path / "rows",
        tmp_path / "sql",
    )
    assert [str(each.to) for each in config.publish] == [
        str(tmp_path / "published"),
        str(tmp_path / "report.html"),
    ]


def test_link_to_a_warehouse_that_is_not_there_yet(served: ServeWorld) -> None:
    """If the warehouse is a link to a missing file, the file is created at the link's target, and the link stays."""
    site = small(served)
    (site.folder / "disk").mkdir()
    link, target = site.config.warehouse, site.folder / "disk" / "real.duckdb"
    link.symlink_to(target)
    site.sync()
    site.assert_true()
    assert link.is_symlink()
    assert target.is_file()
    assert [path.name for path in target.parent.iterdir()] == ["real.duckdb"]
    target.parent.rename(site.folder / "gone")
    with pytest.raises(WarehouseError, match="no folder"):
        site.sync()


LEAVE_A_LOG = """
import os, sys, duckdb
connection = duckdb.connect(sys.argv[1])
connection.execute("PRAGMA disable_checkpoint_on_shutdown").fetchall()
connection.execute("CREATE TABLE later (i INTEGER)").fetchall()
os._exit(0)
"""


def test_old_log_beside_a_restored_file_is_told(served: ServeWorld) -> None:
    """An old log beside a restored file is reported and nothing is changed; once it is moved away, a sync works."""
    site = small(served)
    site.sync()
    path = site.config.warehouse
    log = path.with_name(f"{path.name}.wal")
    shutil.copy(path, site.folder / "backup.duckdb")
    site.sync()
    subprocess.run([sys.executable, "-c", LEAVE_A_LOG, str(path)], check=True)
    assert log.exists()
    shutil.copy(site.folder / "backup.duckdb", path)
    before = path.read_bytes(), log.read_bytes()
    with pytest.raises(WarehouseError, match=r"move .*\.wal away") as caught:
        site.sync()
    assert "damaged" not in str(caught.value)
    assert (path.read_bytes(), log.read_bytes()) == before
    log.rename(site.folder / "old.wal")
    site.sync()
    site.assert_true()


SMALL_DISK = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop(1)), resource.RLIM_INFINITY))
from image_history.cli import main
main(sys.argv[1:])
"""


@pytest.mark.parametrize("room", [0, 4_096, 60_000, 270_000, 500_000, 800_000])
def test_disk_that_is_full_at_the_first_sync(served: ServeWorld, room: int) -> None:
    """If no file can exceed a size, a first sync exits with 0 or 2; with more space, the next one works."""
    site = small(served)
    told = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, str(room), "sync"],
        cwd=site.folder,
        env={**os.environ, **site.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode in {0, 2}, told.stderr
    assert "Traceback" not in told.stderr
    assert not (site.folder / ".image-history.duckdb.unborn.wal").exists()
    site.sync()
    site.assert_true()
    assert site.ask("SELECT count(*) FROM schema_migrations") != [(0,)]


def test_checkpoint_that_fails_at_close_is_logged(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If the checkpoint at close fails, a warning is logged and the sync succeeds: DuckDB's log has the data."""
    site = small(served)
    site.sync()

    def failing(connection: Connection, name: str, parameters: object = None) -> None:
        if name == "session/checkpoint":
            raise duckdb.IOException("No space left on device")
        inner(connection, name, parameters)  # type: ignore[arg-type]

    inner = Connection.run
    monkeypatch.setattr(Connection, "run", failing)
    site.sync()
    assert "warehouse_not_checkpointed" in caplog.text
    site.assert_true()


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_change_no_exit_code(served: ServeWorld, closed: str) -> None:
    """If a scheduler closes stdin, stdout or stderr, each command still exits with 0, and the warehouse is intact."""
    site = small(served)
    site.sync()
    name = site.world.truth()[0].image_name
    verbs = [
        "sync",
        "status",
        "runs",
        f"log {name}",
        "diff --since 7d",
        "query 'FROM runs'",
        "plan",
        "schema",
    ]
    command = "; ".join(
        f"{sys.executable} -m image_history {verb} {closed}; echo $? >> codes" for verb in verbs
    )
    subprocess.run(
        ["/bin/sh", "-c", command], cwd=site.folder, env={**os.environ, **site.environment}, check=False
    )
    codes = (site.folder / "codes").read_text(encoding="utf-8").split()
    assert codes == ["0"] * len(verbs)
    site.assert_true()


def test_machine_without_a_temporary_folder_is_told(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If there is no temporary folder, `check` reports it and names TMPDIR."""
    import tempfile

    from image_history.checking.local import look_here

    def missing() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    site = small(served)
    monkeypatch.setattr(tempfile, "gettempdir", missing)
    told = [result for result in look_here(site.config).results if result.check == "temporary files"]
    assert ["TMPDIR" in str(result) for result in told] == [True]


IN_UTC = """
import sys
from image_history import Warehouse
found = Warehouse(sys.argv[1]).query("SELECT creation_time FROM image_versions LIMIT 1")
print(found.df()["creation_time"].iloc[0].isoformat(), found.rows()[0]["creation_time"].isoformat())
"""


def test_machine_without_a_zone_database(served: ServeWorld) -> None:
    """If the system has no zone database, commands that print instants work, and Python's instants are in UTC."""
    site = small(served)
    site.sync()
    name = site.world.truth()[0].image_name
    verbs = [["status"], ["runs"], ["diff", "--since", "7d"], ["log", name], ["query", "FROM runs"]]
    bare = {**os.environ, **site.environment, "PYTHONTZPATH": ""}
    frames = ["-c", IN_UTC, str(site.config.warehouse)]
    printed = ""
    for arguments in [*(["-m", "image_history", *verb] for verb in verbs), frames]:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=site.folder,
            env=bare,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    assert printed.count("+00:00") == 2
