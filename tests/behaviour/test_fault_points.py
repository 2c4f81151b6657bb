"""Every effect of the connector is a fault point; a kill or a disk error at any of them loses nothing.

`make test` runs a share of the matrix, which the seed selects; tests/soak runs all of it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from image_history.simulator import Simulator
from tests.faultpoints import registry
from tests.faultpoints.faults import ONLY_KILLED, REFUSALS, Action, Fault, Point
from tests.faultpoints.forking import Command, Ended, Forge
from tests.faultpoints.matrix import ALL_ACTIONS, MODES, STEADY, Matrix, make_world
from tests.faultpoints.publishing import PublishMatrix
from tests.faultpoints.scan import unmarked
from tests.looking import looking

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]
# `make test` runs one of this many faults; the seed selects which.
SHARE = 512
PUBLISH_SHARE = 128
# Effects that need no fault point: on memory, on a sink whose file is a fault point, or only a test of a lock.
HARMLESS = {
    ("connector/image_history/landing/mark.py", "syncing: fcntl.flock"),
    ("connector/image_history/warehouse/turns.py", "is_wanted: fcntl.flock"),
    ("connector/image_history/landing/files.py", "parquet: pq.ParquetWriter"),
    ("connector/image_history/formats/parquet.py", "written_parquet: pq.ParquetWriter"),
    ("connector/image_history/formats/parquet.py", "_finer: pq.write_table"),
    ("connector/image_history/warehouse/copying.py", "copy_warehouse: shutil.copyfileobj"),
    # Holds the command's stderr until its last line is reported.
    ("connector/image_history/notify/receivers.py", "_run: tempfile.TemporaryFile"),
    # A draft in the temporary folder, which is then copied to the sink's file.
    ("connector/image_history/formats/workbook.py", "write_workbook: tempfile.TemporaryDirectory"),
    # The callers have the fault point, which names what is opened or removed.
    ("connector/image_history/durable/guard.py", "ordinary: os.open"),
    ("connector/image_history/durable/disk.py", "_emptied: path.unlink"),
    ("connector/image_history/durable/disk.py", "_emptied: folder.rmdir"),
    # The null device.
    ("connector/image_history/cli/streams.py", "open_standard_streams: os.open"),
    ("connector/image_history/warehouse/answering.py", "_voice: os.open"),
    # A database in memory, to read DuckDB's own default, and a setting of the connection.
    ("connector/image_history/warehouse/warehouse.py", "with_memory_enough: duckdb.connect"),
    ("connector/image_history/warehouse/warehouse.py", "with_memory_enough: self.duck.execute"),
}
OUTPUTS = {
    "export-parquet": ("export", "image_versions", "--output", "out.parquet"),
    "export-csv": ("export", "SELECT * EXCLUDE (etl_run_id) FROM image_versions", "--output", "out.csv"),
    "query-json": ("query", "FROM images ORDER BY ALL", "--output", "out.json"),
    "export-copy": ("export", "--output", "out.duckdb"),
    "list-csv": ("list", "holes", "--output", "out.csv"),
}
# This statement only improves the error message for a wrong query; no answer needs it.
ONLY_HINTS = {("statement", "session/relations")}
QUESTIONS = (
    ("runs",),
    ("runs", "LAST"),
    ("log",),
    ("log", "hole"),
    ("log", "holes"),
    ("log", "holes", "--version", "3"),
    ("diff", "--since", "7d"),
    ("diff", "--since", "7d", "--details"),
    ("status",),
    ("query", "SELECT nothing FROM image_versions"),
)


@pytest.fixture(scope="module")
def matrix(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Matrix]:
    """A simulated AWS, a process that forks syncs, and the undisturbed runs."""
    folder = tmp_path_factory.mktemp("matrix")
    with Simulator(make_world()) as simulator, Forge() as forge:
        playing = Matrix(folder, simulator, forge)
        playing.prepare()
        yield playing
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def synced(matrix: Matrix) -> Path:
    """A folder that was synced twice."""
    folder = matrix.copy(MODES["incremental"])
    assert matrix.run(folder, MODES["incremental"]).code == 0
    return folder


def run(matrix: Matrix, folder: Path, given: tuple[str, ...], fault: Fault | None = None) -> Ended:
    """Run a command in a folder, as the main account; the argument LAST stands for the newest run."""
    arguments = given
    environment = STEADY | matrix.simulator.environment()
    if "LAST" in arguments:
        arguments = (*arguments[:-1], last_run(folder))
    ended = matrix.forge.run(
        Command(str(folder), arguments, environment, None if fault is None else str(fault), ())
    )
    matrix.reached |= set(ended.reached)
    return ended


def last_run(folder: Path) -> str:
    """The id of the newest run in a folder's warehouse."""
    with looking(folder / "image-history.duckdb") as connection:
        found = connection.execute("SELECT max(etl_run_id) FROM runs").fetchone()
    assert found is not None
    return str(found[0])


def assert_refused(ended: Ended, fault: Fault) -> None:
    """The command exited with 2 and one sentence that says why."""
    assert ended.code == 2, (str(fault), ended.err)
    assert ended.sentence.startswith("image-history: "), ended.err
    assert "Traceback" not in ended.err
    reason = {Action.ENOSPC: "No space left", Action.EIO: "Input/output", Action.EACCES: "Permission denied"}
    assert reason[fault.action] in ended.sentence, str(fault)


def test_every_effect_in_the_code_is_a_fault_point() -> None:
    """No function outside HARMLESS writes, renames, removes, locks or runs SQL without a fault point."""
    found = {
        (str(path.relative_to(ROOT)), effect)
        for path in sorted((ROOT / "connector" / "image_history").rglob("*.py"))
        for effect in unmarked(path.read_text(encoding="utf-8"))
    }
    assert found == HARMLESS


@pytest.mark.parametrize(
    "call",
    [
        "os.fsync(1)",
        "os.open(path, flags)",
        "path.rename(other)",
        "path.replace(other)",
        "path.unlink()",
        "path.write_bytes(b'')",
        "path.open('wb')",
        "open(path, mode='a')",
        "shutil.rmtree(path)",
        "tempfile.mkdtemp()",
        "self.duck.execute(sql)",
        "connection.duck.commit()",
        "duckdb.connect(path)",
    ],
)
def test_effect_without_a_fault_point_is_found(call: str) -> None:
    """The scan finds each call that changes something, unless its function has a fault point."""
    assert len(unmarked(f"def careless():\n    {call}\n")) == 1
    assert unmarked(f"def careful():\n    fault_point(effect, subject)\n    {call}\n") == []
    assert len(unmarked(f"{call}\n")) == 1


def test_scan_passes_what_changes_nothing() -> None:
    """The scan ignores calls on texts and values, and files that are only read."""
    source = (
        "def f():\n    text.replace('a', 'b')\n    replace(x, a=1)\n    path.open('rb')\n    open(path)\n"
    )
    assert unmarked(source) == []


@pytest.fixture(scope="module")
def publishing(matrix: Matrix, tmp_path_factory: pytest.TempPathFactory) -> PublishMatrix:
    """A dataset that was published once, and its undisturbed second publication."""
    playing = PublishMatrix(tmp_path_factory.mktemp("publishing"), matrix.forge)
    playing.prepare()
    matrix.reached |= set(playing.reached)
    return playing


def test_publication_with_a_fault_leaves_a_whole_dataset(publishing: PublishMatrix, seed: int) -> None:
    """After a fault at any effect, readers find the old or the new dataset, and the next publication completes it."""
    faults = list(publishing.faults())
    figures = publishing.play(faults[seed % PUBLISH_SHARE :: PUBLISH_SHARE])
    assert figures.wrong == [], f"{figures} of {len(faults)}"


@pytest.mark.parametrize("mode", sorted(MODES))
def test_sync_with_a_fault_loses_nothing(matrix: Matrix, seed: int, mode: str) -> None:
    """After a fault at any effect, the tables are the old or the new ones, and the next sync makes the new ones."""
    faults = list(matrix.faults(MODES[mode], ALL_ACTIONS))
    figures = matrix.play(MODES[mode], faults[seed % SHARE :: SHARE])
    assert figures.wrong == [], f"{figures} of {len(faults)}"


@pytest.mark.parametrize("name", sorted(OUTPUTS))
def test_output_is_whole_or_as_before(matrix: Matrix, synced: Path, name: str) -> None:
    """A fault at any effect of an output leaves the old file or the new one; the next run writes equal bytes."""
    arguments = OUTPUTS[name]
    target = synced / arguments[-1]
    target.write_bytes(b"the file before")
    undisturbed = run(matrix, synced, arguments)
    assert undisturbed.code == 0, undisturbed.err
    whole = target.read_bytes()
    files = [point for point in undisturbed.reached if point[1] in {"output", "spill"}]
    for number, point in enumerate(files):
        for action in (Action.KILL, REFUSALS[number % 3]):
            target.write_bytes(b"the file before")
            fault = Fault(*point, action)
            ended = run(matrix, synced, arguments, fault)
            renamed = point == ("fsync folder", "output")
            assert target.read_bytes() == (whole if renamed else b"the file before"), str(fault)
            if action is Action.KILL:
                assert ended.code == -9
            else:
                assert_refused(ended, fault)
                assert list(synced.glob(".out*")) == []
            for left in synced.glob(".out*"):
                left.unlink()
    assert run(matrix, synced, arguments).code == 0
    assert target.read_bytes() == whole


@pytest.mark.parametrize("arguments", QUESTIONS, ids=" ".join)
def test_question_that_the_disk_refuses_says_so(
    matrix: Matrix, synced: Path, seed: int, arguments: tuple[str, ...]
) -> None:
    """If the disk fails at an effect of a query, the command exits with 2 and one sentence."""
    points = run(matrix, synced, arguments).reached
    assert points
    for number, point in enumerate(points):
        if point[0] not in ONLY_KILLED and point not in ONLY_HINTS and (number + seed) % 4 == 0:
            fault = Fault(*point, REFUSALS[number % 3], points[: number + 1].count(point))
            assert_refused(run(matrix, synced, arguments, fault), fault)


def test_config_is_whole_or_not_there(matrix: Matrix, tmp_path: Path) -> None:
    """After a fault at any effect of init, config.yaml is complete or not there; if not, the next init writes it."""
    undisturbed = run(matrix, tmp_path, ("init",))
    assert undisturbed.code == 0
    target, found = tmp_path / "config.yaml", set()
    whole = target.read_bytes()
    for number, point in enumerate(undisturbed.reached):
        for action in (Action.KILL, REFUSALS[number % 3]):
            target.unlink(missing_ok=True)
            fault = Fault(*point, action, undisturbed.reached[: number + 1].count(point))
            run(matrix, tmp_path, ("init",), fault)
            there = target.exists()
            assert not there or target.read_bytes() == whole, str(fault)
            assert run(matrix, tmp_path, ("init",)).code == (2 if there else 0), str(fault)
            assert target.read_bytes() == whole, str(fault)
            found.add(there)
    assert found == {True, False}


def test_demo_without_room_says_so(matrix: Matrix, tmp_path: Path) -> None:
    """If the demo's folder cannot be made, the demo exits with 2 and says why."""
    for arguments in (("demo",), ("demo", "--keep", "kept")):
        fault = Fault("make folder", "demo", Action.ENOSPC)
        assert_refused(run(matrix, tmp_path, arguments, fault), fault)


def test_every_fault_point_is_reached(
    matrix: Matrix, publishing: PublishMatrix, synced: Path, tmp_path: Path
) -> None:
    """The syncs and commands of these tests reach each registered fault point, and no other."""
    for arguments in (*OUTPUTS.values(), *QUESTIONS, ("init",)):
        run(matrix, synced, arguments)
    view = {"publish": [{"to": "published", "tables": ["current_image_versions"]}]}
    (synced / "config.yaml").write_text(json.dumps(view), encoding="utf-8")
    assert run(matrix, synced, ("publish",)).code == 0
    refused = Fault("make folder", "demo", Action.ENOSPC)
    run(matrix, tmp_path, ("demo",), refused)
    run(matrix, synced, OUTPUTS["export-csv"], Fault("fsync", "output", Action.EIO))
    reached: set[Point] = matrix.reached
    assert reached - registry.ALL == set()
    assert registry.ALL - reached == set()
    assert registry.UNREACHABLE.isdisjoint(registry.ALL)


def test_command_line_of_faults_kills_a_whole_process(matrix: Matrix) -> None:
    """`python -m tests.faultpoints.run` runs a command in a process that dies at the named fault point."""
    folder = matrix.copy(MODES["first"])
    environment = {**os.environ, **STEADY, **matrix.simulator.environment(), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.faultpoints.run", "rename.segment:kill:2", "--", "sync"]
    outcome = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=False, timeout=120
    )
    assert outcome.returncode == -9
    left = [path.name for path in (folder / "image-history.landing").rglob("*segment*")]
    assert len([name for name in left if re.fullmatch(r"segment-000001-[0-9a-f]{8}\.parquet", name)]) == 1
    assert ".segment-000002" in "".join(left)
