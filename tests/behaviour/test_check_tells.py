"""`check` reports every fault that another verb reports: for each fault here, both print the same words."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import duckdb
import pytest

from image_history.landing.files import seal, unsealed
from image_history.landing.mark import NAME as MARK
from image_history.landing.runs import Landing
from image_history.simulator import generate
from tests.behaviour.checking import Bench, MakeBench
from tests.behaviour.checking import bench as bench  # noqa: PLC0414 - a fixture
from tests.behaviour.faults_told import TOLD, UNTOLD, names_of, places
from tests.behaviour.test_check_and_sync import folder_there, nothing, open_folder
from tests.behaviour.test_plan_verb import interrupted

pytestmark = pytest.mark.duckdb

WAREHOUSE, LANDING = "image-history.duckdb", "image-history.landing"
SYNC, PUBLISH, QUERIES = ("sync",), ("publish",), ("queries",)
HEADER = "-- What: one.\n-- Parameters: none.\n-- Columns: a.\n"
Break = Callable[[Bench], object]


def in_turn(*breaks: Break) -> Break:
    """Apply the breaks one after the other."""
    return lambda desk: [each(desk) for each in breaks]


def synced(desk: Bench) -> None:
    """Run a first sync."""
    assert desk("sync", "--quiet").code == 0


def cut_off(desk: Bench) -> None:
    """Run a sync that is interrupted, so that its run stays in the landing folder."""
    interrupted(desk.site, 1)


def run_folder(desk: Bench) -> Path:
    """The folder of the pending run."""
    (folder,) = [path for path in (desk.site.folder / LANDING).iterdir() if path.is_dir()]
    return folder


def of_another_version(desk: Bench) -> None:
    """Make the pending run look as if another version had begun it."""
    path = run_folder(desk) / "plan.json"
    written = unsealed(path, dict)
    written["plan"]["format"] = 99
    path.write_bytes(seal(written))


def damaged(desk: Bench) -> None:
    """Cut off the end of a file of the pending run."""
    path = next(run_folder(desk).glob("images*.parquet"))
    path.write_bytes(path.read_bytes()[:-9])


def unreadable(patch: pytest.MonkeyPatch) -> None:
    """Refuse to open landing files, as if another user owned them; a file mode would not stop root."""

    def refused(path: Path) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    patch.setattr("image_history.landing.files.opened_to_read", refused)


def of_another_warehouse(desk: Bench) -> None:
    """Replace the warehouse of the pending run by another warehouse."""
    assert desk("sync", "--quiet", "--warehouse", "other.duckdb").code == 0
    (desk.site.folder / "other.duckdb").replace(desk.site.folder / WAREHOUSE)


def run_of_another(desk: Bench) -> None:
    """Put a run of another warehouse into the landing folder."""
    foreign = run_folder(desk)
    assert desk("sync", "--quiet", "--warehouse", "other.duckdb").code == 0
    shutil.move(foreign, desk.site.folder / "other.landing")
    shutil.rmtree(desk.site.folder / LANDING)
    (desk.site.folder / "other.landing").rename(desk.site.folder / LANDING)
    (desk.site.folder / "other.duckdb").rename(desk.site.folder / WAREHOUSE)


def duck(sql: str) -> Break:
    """Run SQL on the warehouse, or make another database in its place."""

    def broken(desk: Bench) -> None:
        with duckdb.connect(desk.site.folder / WAREHOUSE) as connection:
            connection.execute(sql).fetchall()

    return broken


def foreign_log(desk: Bench) -> None:
    """Put DuckDB's log of another file beside the warehouse."""
    other = desk.site.folder / "other.duckdb"
    with duckdb.connect(other) as connection:
        connection.execute("PRAGMA disable_checkpoint_on_shutdown; CREATE TABLE t AS SELECT 1").fetchall()
        shutil.copy(f"{other}.wal", desk.site.folder / f"{WAREHOUSE}.wal")


def cut_warehouse(desk: Bench) -> None:
    """Cut off the second half of the warehouse."""
    os.truncate(desk.site.folder / WAREHOUSE, (desk.site.folder / WAREHOUSE).stat().st_size // 2)


def gone(*names: str) -> Break:
    """Delete these files and folders."""

    def broken(desk: Bench) -> None:
        for path in (desk.site.folder / name for name in names):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    return broken


def text_there(name: str, text: str | bytes) -> Break:
    """Write a file with this text."""

    def broken(desk: Bench) -> None:
        path = desk.site.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode() if isinstance(text, str) else text)

    return broken


def newer_manifest(desk: Bench) -> None:
    """Make the manifest look as if a later version had written it."""
    path = desk.site.folder / "there" / "current" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}), encoding="utf-8")


def empty_variable(patch: pytest.MonkeyPatch) -> None:
    """Set the variable that names the configuration to an empty text."""
    patch.setenv("IMAGE_HISTORY_CONFIG", "")


def no_region(patch: pytest.MonkeyPatch) -> None:
    """Remove the region from the environment."""
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        patch.delenv(name, raising=False)


def no_temporary_folder(patch: pytest.MonkeyPatch) -> None:
    """Make every folder for temporary files unavailable."""
    patch.setattr(tempfile, "tempdir", None)
    patch.setattr(tempfile, "_candidate_tempdir_list", list)


def no_deltalake(patch: pytest.MonkeyPatch) -> None:
    """Make the package deltalake look as if it were not installed."""
    patch.setitem(sys.modules, "deltalake", None)


def another_profile(patch: pytest.MonkeyPatch) -> None:
    """Write a profile with the same access key as the environment."""
    path = Path("aws-config").absolute()
    path.write_text(PROFILE.format(key=os.environ["AWS_ACCESS_KEY_ID"]), encoding="utf-8")
    patch.setenv("AWS_CONFIG_FILE", str(path))


@dataclass(frozen=True, slots=True)
class Fault:
    """A broken state; the verb that reports it, with its exit code and words; the check's name and its exit code.

    `machine` breaks something outside the site's folder.
    """

    config: str
    broken: Break
    verb: tuple[str, ...]
    code: int
    said: str
    check: str
    checked: int
    machine: Callable[[pytest.MonkeyPatch], object] | None = None


def to(place: str, more: str = "") -> str:
    """A configuration that publishes to this place."""
    return f"page_size: 100\npublish:\n  - to: {place}\n{more}"


TWICE = "accounts: [{regions: [us-east-1]}, {profile: me, regions: [us-east-1]}]\n"
PROFILE = "[profile me]\naws_access_key_id = {key}\naws_secret_access_key = s\n"


BROKEN = {
    "config-bytes": Fault("", text_there("config.yaml", b"\xff"), SYNC, 2, "not UTF-8", "configuration", 2),
    "config-folder": Fault(
        "",
        in_turn(gone("config.yaml"), folder_there("config.yaml")),
        SYNC,
        2,
        "is a folder",
        "configuration",
        2,
    ),
    "config-variable": Fault("", nothing, SYNC, 2, "set but empty", "configuration", 2, empty_variable),
    "duration": Fault("lookback: 15\n", nothing, SYNC, 2, "config.yaml:1: lookback", "configuration", 2),
    "hints-folder": Fault("hints: {folder: nowhere}\n", nothing, SYNC, 0, "nowhere", "hints", 0),
    "hints-region": Fault(
        "accounts: [{regions: [us-east-1]}]\nhints: {queue: 'https://example.org/111122223333/q'}\n",
        nothing,
        SYNC,
        2,
        "names no region",
        "hints",
        2,
        no_region,
    ),
    "lake-extra": Fault(
        to("delta+file:/there"), nothing, SYNC, 4, "needs deltalake", "lake", 4, no_deltalake
    ),
    "landing-busy": Fault("", nothing, SYNC, 7, "works", "landing", 0),
    "landing-damaged": Fault("", in_turn(cut_off, damaged), SYNC, 2, "is damaged", "landing", 2),
    "landing-foreign": Fault(
        "landing: mine\n", folder_there("mine", "a"), SYNC, 2, "holds 'a'", "landing", 2
    ),
    "landing-foreign-run": Fault(
        "", in_turn(cut_off, run_of_another), SYNC, 2, "was not made for the warehouse", "landing", 2
    ),
    "landing-mark": Fault(
        "", in_turn(synced, text_there(f"{LANDING}/{MARK}", "{}")), SYNC, 2, "is damaged", "landing", 2
    ),
    "landing-of-another": Fault(
        "",
        in_turn(synced, cut_off, of_another_warehouse),
        SYNC,
        2,
        "belongs to another warehouse",
        "landing",
        2,
    ),
    "landing-open": Fault("landing: mine\n", open_folder("mine"), SYNC, 2, "is not safe", "landing", 2),
    "landing-unreadable": Fault(
        "", cut_off, SYNC, 2, "cannot be read by this user", "landing", 2, unreadable
    ),
    "landing-version": Fault(
        "", in_turn(cut_off, of_another_version), SYNC, 2, "written by another version", "landing", 2
    ),
    "notify-command": Fault(
        "notify: [{run: [no-such-command]}]\n",
        nothing,
        ("notify", "--test"),
        4,
        "no-such-command",
        "notify",
        4,
    ),
    "publish-damaged": Fault(
        to("there"),
        in_turn(synced, text_there("there/current/manifest.json", "{")),
        PUBLISH,
        4,
        "is no manifest",
        "publish",
        4,
    ),
    "publish-foreign": Fault(to("there"), folder_there("there", "a"), SYNC, 4, "holds 'a'", "publish", 4),
    "publish-group": Fault(to("there", "    group: nobodys\n"), nothing, SYNC, 4, "no group", "publish", 4),
    "publish-landing": Fault(
        to(LANDING), nothing, SYNC, 2, "the landing folder would both", "configuration", 2
    ),
    "publish-of-another": Fault(
        to("there"),
        in_turn(synced, gone(WAREHOUSE, LANDING)),
        SYNC,
        4,
        "published from another warehouse",
        "publish",
        4,
    ),
    "publish-of-another-synced": Fault(
        to("there"),
        in_turn(synced, gone(WAREHOUSE, LANDING), lambda desk: desk("sync", "--quiet")),
        PUBLISH,
        4,
        "published from another warehouse",
        "publish",
        4,
    ),
    "publish-table": Fault(
        to("there", "    tables: [image_version]\n"), nothing, SYNC, 4, "no table or view", "publish", 4
    ),
    "publish-version": Fault(
        to("there"), in_turn(synced, newer_manifest), PUBLISH, 4, "written by a newer", "publish", 4
    ),
    "publish-warehouse": Fault(
        to(WAREHOUSE), nothing, SYNC, 2, "the warehouse would both be", "configuration", 2
    ),
    "queries-bytes": Fault("queries: q\n", text_there("q/a.sql", b"\xff"), QUERIES, 2, "UTF-8", "queries", 0),
    "queries-folder": Fault("queries: q\n", nothing, QUERIES, 2, "cannot be read", "queries", 0),
    "queries-header": Fault(
        "queries: q\n", text_there("q/a.sql", "FROM a"), QUERIES, 2, "no line", "queries", 0
    ),
    "queries-name": Fault(
        "queries: q\n",
        text_there("q/newest-versions.sql", HEADER),
        QUERIES,
        2,
        "give yours another name",
        "queries",
        0,
    ),
    "report-bucket": Fault(to("s3://report.html"), nothing, SYNC, 4, "names a bucket", "publish", 4),
    "report-folder": Fault(
        to("there.html"), folder_there("there.html"), SYNC, 4, "is a folder", "publish", 4
    ),
    "temporary-files": Fault(
        to("there"), nothing, SYNC, 4, "TMPDIR", "temporary files", 4, no_temporary_folder
    ),
    "twice": Fault(TWICE, nothing, SYNC, 2, "are both account", "account", 2, another_profile),
    "warehouse-cut": Fault("", in_turn(synced, cut_warehouse), SYNC, 2, "is damaged", "warehouse", 2),
    "warehouse-log": Fault(
        "", in_turn(synced, foreign_log), SYNC, 2, "does not belong to the file", "warehouse", 2
    ),
    "warehouse-newer": Fault(
        "",
        in_turn(synced, duck("UPDATE schema_migrations SET number = 99 WHERE number = 7")),
        SYNC,
        2,
        "has schema 99",
        "warehouse",
        2,
    ),
    "warehouse-of-another-program": Fault(
        "", duck("CREATE TABLE t AS SELECT 1"), SYNC, 2, "database of another program", "warehouse", 2
    ),
    "warehouse-pipe": Fault(
        "", lambda desk: os.mkfifo(desk.site.folder / WAREHOUSE), SYNC, 2, "no ordinary file", "warehouse", 2
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_check_tells_what_the_verb_tells(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`check` and the verb report a fault with the same words, and check says how to fix it."""
    fault = BROKEN[name]
    desk = bench(generate(23, images=1, versions_per_image=2), config=fault.config or "page_size: 100\n")
    fault.broken(desk)
    if fault.machine is not None:
        fault.machine(monkeypatch)
    if name == "landing-busy":
        with Landing(desk.site.config.landing_folder).locked():
            agree(desk, fault)
    else:
        agree(desk, fault)


def agree(desk: Bench, fault: Fault) -> None:
    """Run check, then the verb; both must report the fault."""
    code, troubles = desk.troubles()
    done = desk(*fault.verb)
    assert (done.code, fault.said in done.out + done.err) == (fault.code, True), done.out + done.err
    told = [f"{each['message']} {each['fix']}" for each in troubles if each["check"] == fault.check]
    assert (code, any(fault.said in each for each in told)) == (fault.checked, True), troubles


def test_every_error_is_told_by_check_or_has_its_reason() -> None:
    """Each place that raises an error has a line in faults_told.py: how check reports it, or why it does not."""
    there = set(places())
    lost = [place for place in sorted(there) if not {*names_of(place)} & {*TOLD, *UNTOLD}]
    assert not lost, (
        "say in tests/behaviour/faults_told.py how check reports these errors, or why it does not"
    )
    named = {name for place in there for name in names_of(place)}
    assert {*TOLD, *UNTOLD} <= named, "these places no longer raise an error"


def test_every_fault_that_is_told_is_tried() -> None:
    """Each name in TOLD is a row of BROKEN, a row of test_check_and_sync.py, or a test that exists."""
    folder = Path(__file__).parents[1]
    tests = {
        name
        for path in folder.rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    rows = set(re.findall(r'id="([\w-]+)"', (folder / "behaviour/test_check_and_sync.py").read_text()))
    assert {*TOLD.values()} <= tests | rows | set(BROKEN)
