"""A user's folder or file is given for each setting and option with a path: nothing of the user's changes."""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

import duckdb
import pytest

from image_history.landing.mark import NAME
from tests.behaviour.belongings import fingerprint, furnish
from tests.behaviour.commanding import Commanded, commanded, commanding

__all__ = ["commanded", "commanding"]

pytestmark = pytest.mark.duckdb

RUN = "20260101T000000.000Z-deadbeef"
PUBLICATION = "20260101T000000-deadbeef"
STRANGER = (12345, 54321)
OURS = ("lock", "closed", ".lock", "manifest.json", "known-streams.parquet", "report.html")


def belongings(folder: Path) -> Path:
    """A user's folder with all kinds of files, and with files of other owners if the tests run as root."""
    folder.mkdir()
    furnish(folder)
    for name in OURS:
        (folder / name).write_text("mine, whatever its name", encoding="utf-8")
    (folder / RUN).mkdir()
    (folder / RUN / "plan.json").write_text("{}", encoding="utf-8")
    (folder / RUN / "thesis.tex").write_text("mine", encoding="utf-8")
    (folder / "snapshots" / PUBLICATION / "image_versions").mkdir(parents=True)
    (folder / "snapshots" / PUBLICATION / "image_versions" / "notes").write_text("mine", encoding="utf-8")
    (folder / "current").symlink_to(f"snapshots/{PUBLICATION}")
    (folder / "image_versions").symlink_to("current/image_versions")
    (folder / "dangling").symlink_to("nowhere")
    outside = folder.parent / "outside-of-it"
    outside.write_text("linked", encoding="utf-8")
    os.link(outside, folder / "second-name")
    (folder / "linked").symlink_to(outside)
    os.mkfifo(folder / "pipe")
    for name, mode in {"read-only": 0o400, "for-all": 0o666, "script": 0o4755}.items():
        (folder / name).write_text(name, encoding="utf-8")
        (folder / name).chmod(mode)
    for name, mode in {"group": 0o2770, "sticky": 0o1777, "closed-folder": 0o500}.items():
        (folder / name).mkdir()
        (folder / name / "inside").write_text(name, encoding="utf-8")
        (folder / name).chmod(mode)
    (folder / "own.sql").write_text("SELECT 1", encoding="utf-8")
    with duckdb.connect(str(folder / "own.duckdb")) as connection:
        connection.execute("CREATE TABLE mine AS SELECT 42 AS answer")
    with sqlite3.connect(folder / "own.sqlite") as database:
        database.execute("CREATE TABLE mine (answer INTEGER)")
    if os.geteuid() == 0:
        for name in ("script", "group", "group/inside", "sticky/inside", RUN):
            os.chown(folder / name, *STRANGER)
    return folder


def whole(folder: Path) -> tuple[str, str]:
    """What must not change: everything below the folder, the folder itself, and the targets of its links."""
    found = folder.lstat()
    beside = folder.parent / "outside-of-it"
    told = f"{found.st_mode} {found.st_uid} {found.st_gid} {beside.read_text(encoding='utf-8')} {beside.lstat()[:6]}"
    return fingerprint(folder), told


@pytest.fixture
def yours(commanded: Commanded) -> Path:
    """The user's folder, beside a synced warehouse."""
    assert commanded("sync").code == 0
    return belongings(commanded.folder / "yours")


@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "image_versions", "--output", "yours"),
        ("export", "image_versions", "--output", "yours/"),
        ("export", "image_versions", "--output", "yours/linked", "--format", "csv"),
        ("export", "image_versions", "--output", "yours/dangling", "--format", "csv"),
        ("export", "image_versions", "--output", "yours/pipe", "--format", "csv"),
        ("export", "image_versions", "--output", "yours/own.duckdb"),
        ("query", "SELECT 1", "--output", "yours"),
        ("query", "SELECT 1", "--output", "yours/outside", "--format", "csv"),
        ("query", "SELECT 1", "--output", "yours/linked", "--format", "csv"),
        ("query", "COPY (SELECT 1) TO 'yours/own.sql'"),
        ("query", "ATTACH 'yours/own.duckdb'"),
        ("report", "--output", "yours"),
        ("report", "--output", "yours/linked"),
        ("sync", "--metrics-file", "yours"),
        ("sync", "--metrics-file", "yours/linked"),
        ("sync", "--metrics-file", "yours/pipe"),
        ("--warehouse", "yours", "sync"),
        ("--warehouse", "yours/own.sql", "sync"),
        ("--warehouse", "yours/own.sqlite", "sync"),
        ("--warehouse", "yours/own.duckdb", "sync"),
        ("--warehouse", "yours/own.duckdb", "status"),
        ("--warehouse", "yours/pipe", "status"),
        ("--warehouse", "yours/linked", "sync"),
    ],
    ids=" ".join,
)
def test_command_that_is_given_what_is_yours(
    commanded: Commanded, yours: Path, arguments: tuple[str, ...]
) -> None:
    """The command exits with 2, and nothing of the user's is changed."""
    before = whole(yours)
    told = commanded(*arguments)
    assert told.code == 2, told.err or told.out
    for landing in yours.glob("*.landing"):
        # The default landing is beside its warehouse; it is ours, and so is all that is in it.
        assert {path.name for path in landing.iterdir()} <= {"lock", NAME}
        shutil.rmtree(landing)
    assert whole(yours) == before


@pytest.mark.parametrize("verb", ["sync", "sync --fresh", "check", "plan", "publish"])
@pytest.mark.parametrize("setting", ["landing", "publish", "queries"])
def test_setting_that_names_what_is_yours(commanded: Commanded, yours: Path, setting: str, verb: str) -> None:
    """If a setting names the user's folder, no command changes anything in it."""
    entry = "publish: [{to: ./yours}]" if setting == "publish" else f"{setting}: ./yours"
    (commanded.folder / "config.yaml").write_text(f"{entry}\n", encoding="utf-8")
    before = whole(yours)
    told = commanded(*verb.split())
    assert told.code in {0, 2, 4}, told.err or told.out
    assert told.code or setting == "queries" or verb in {"plan", "publish"}
    assert whole(yours) == before


def test_queries_of_yours_are_only_read(commanded: Commanded, yours: Path) -> None:
    """Commands only read the folder of saved queries and its files."""
    (commanded.folder / "config.yaml").write_text("queries: ./yours\n", encoding="utf-8")
    before = whole(yours)
    commanded("queries")
    commanded("query", "@own")
    commanded("shell")
    assert whole(yours) == before


def test_new_files_beside_yours(commanded: Commanded, yours: Path) -> None:
    """A file that is written into the user's folder is the only new file there; no temporary file is left."""
    before = whole(yours)
    for arguments in (
        ("export", "image_versions", "--output", "yours/new.csv"),
        ("query", "SELECT 1", "--output", "yours/new.json"),
        ("report", "--output", "yours/new.html"),
        ("sync", "--metrics-file", "yours/new.prom"),
    ):
        told = commanded(*arguments)
        assert told.code == 0, told.err
        made = yours / arguments[-1].removeprefix("yours/")
        shutil.rmtree(made) if made.is_dir() else made.unlink()
        assert whole(yours) == before


def test_file_that_is_named_loses_no_second_name(commanded: Commanded, yours: Path) -> None:
    """An output file is replaced, not written into: its second name still has the old content."""
    told = commanded("query", "SELECT 1", "--output", "yours/second-name", "--format", "csv")
    assert told.code == 0, told.err
    assert (yours.parent / "outside-of-it").read_text(encoding="utf-8") == "linked"


@pytest.mark.parametrize("setting", ["landing", "publish"])
def test_only_thing_with_a_name_of_ours(commanded: Commanded, setting: str) -> None:
    """A folder that holds only a user's file with one of our names is not ours, and the file is unchanged."""
    assert commanded("sync").code == 0
    folder = commanded.folder / "yours"
    folder.mkdir()
    entry = "publish: [{to: ./yours}]" if setting == "publish" else f"{setting}: ./yours"
    (commanded.folder / "config.yaml").write_text(f"{entry}\n", encoding="utf-8")
    for name in ("lock", ".lock", "known-streams.parquet", "manifest.json", ".current.next"):
        (folder / name).write_text("mine", encoding="utf-8")
        commanded("sync")
        assert (folder / name).read_text(encoding="utf-8") == "mine", name
        shutil.rmtree(folder)
        folder.mkdir()
