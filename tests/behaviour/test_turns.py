"""Readers and writers of one warehouse: none is locked out for long, and none loses data."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest

from image_history import Warehouse
from image_history.errors import WarehouseLockedError
from image_history.simulator import VirtualClock, generate
from image_history.warehouse import limits
from image_history.warehouse.asking import asking
from image_history.warehouse.saved import Question
from image_history.warehouse.turns import is_wanted
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

ROOT = Path(__file__).parents[2]
# `make soak` runs more syncs.
SYNCS = int(os.environ.get("IMAGE_HISTORY_TEST_SYNCS", "5"))
# A query that ends once the warehouse has more than `$seen` runs.
UNTIL_A_LOAD = """
WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT 1 FROM t WHERE (SELECT count(*) FROM runs) <= $seen)
SELECT count(*) AS n FROM t
"""
# Runs a short query and, while there are few runs, a long one that only a load ends; until stdin is closed.
READER = """
import sys, threading
from image_history import Warehouse
from image_history.warehouse import limits
limits._COURTESY_SECONDS = 0.02
over, done = threading.Event(), 0
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
print("reading", flush=True)
while not over.is_set():
    warehouse = Warehouse(sys.argv[1])
    seen = warehouse.query("SELECT count(*) AS n FROM runs").rows()[0]["n"]
    if seen < int(sys.argv[2]):
        warehouse.query(sys.argv[3], seen=seen)
    done += 1
    over.wait(0.1)
print(done)
"""


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """A site with one small image, synced once."""

    def make() -> Site:
        made = served(generate(17, images=1, versions_per_image=3, clock=VirtualClock()))
        made.sync()
        return made

    return served.once("turns", make)


@contextmanager
def python(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python program that has printed a line to say that it is ready."""
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_readers_in_loops_and_syncs_never_fail(site: Site) -> None:
    """While two processes query in loops, one of them with endless queries, every sync loads and no query fails."""
    path = str(site.config.warehouse)
    with python(READER, path, "3", UNTIL_A_LOAD) as first, python(READER, path, "0", "") as second:
        for number in range(SYNCS):
            site.world.create_version(site.world.truth()[0].image_name)
            assert sum(scope.rows.inserted for scope in site.sync().scopes) == 1, number
        answers = [process.communicate("", timeout=60) for process in (first, second)]
    for process, (output, errors) in zip((first, second), answers, strict=True):
        assert (process.returncode, errors) == (0, "")
        assert int(output) > 2
    site.assert_true()


def test_long_query_lets_a_writer_in_and_is_asked_again(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that does not end on the old rows is stopped for the load, and is retried on the new ones."""
    monkeypatch.setattr(limits, "_COURTESY_SECONDS", 0.0)
    warehouse = Warehouse(site.config.warehouse)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(warehouse.query, UNTIL_A_LOAD, seen=1)
        site.sync()
        assert asked.result(timeout=60).rows() == [{"n": 1}]


def test_query_that_is_always_in_the_way_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A query that is stopped for syncs too often ends with exit code 5 and a sentence; the syncs go on."""
    monkeypatch.setattr(limits, "_COURTESY_SECONDS", 0.0)
    monkeypatch.setattr(limits, "_ATTEMPTS", 2)
    warehouse = WarehouseFile(site.config.warehouse)
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(lambda: asking(warehouse, Question("FROM range(1_000_000_000_000)")).__enter__())
        while not asked.done():
            with warehouse.writing() as connection:
                assert connection.table("session/tables").num_rows > 5
        with pytest.raises(WarehouseLockedError, match="stopped for a sync") as raised:
            asked.result()
    assert raised.value.exit_code == 5


def test_wish_of_a_writer_dies_with_it(site: Site) -> None:
    """Readers see a writer that waits; once the writer is killed, they go on at once."""
    path = site.config.warehouse
    writer = (
        "from pathlib import Path; from image_history.warehouse.warehouse import WarehouseFile; import sys\n"
    )
    writer += "print('started', flush=True); WarehouseFile(Path(sys.argv[1])).writing().__enter__()"
    with duckdb.connect(path, read_only=True), python(writer, str(path)) as waiting:
        while not is_wanted(path):
            assert waiting.poll() is None
        waiting.send_signal(signal.SIGKILL)
        waiting.wait(timeout=60)
        assert not is_wanted(path)
    assert len(Warehouse(path).query("FROM runs")) == 1


def test_writer_that_came_through_leaves_no_wish(site: Site) -> None:
    """The file that announces a waiting writer is readable by its owner only, and is removed after the write."""
    warehouse = WarehouseFile(site.config.warehouse)
    entered, leave = threading.Event(), threading.Event()

    def read() -> None:
        with warehouse.reading():
            entered.set()
            leave.wait(timeout=60)

    def write() -> None:
        with warehouse.writing():
            pass

    with ThreadPoolExecutor(2) as pool:
        reading = pool.submit(read)
        entered.wait(timeout=60)
        writing = pool.submit(write)
        while not is_wanted(warehouse.path):
            assert not writing.done()
        (wish,) = warehouse.path.parent.glob(".*.wanted")
        assert wish.stat().st_mode & 0o077 == 0
        leave.set()
        writing.result(timeout=60)
        reading.result(timeout=60)
    assert list(warehouse.path.parent.glob(".*.wanted")) == []


def test_warehouse_that_the_program_itself_has_open_is_told_apart(site: Site) -> None:
    """If the same process has the warehouse open, the error names this process and reports no damage."""
    with (
        duckdb.connect(site.config.warehouse),
        pytest.raises(WarehouseLockedError, match="open in this process"),
    ):
        WarehouseFile(site.config.warehouse, 0.0).reading().__enter__()


def test_block_inside_a_block_ends_with_a_sentence(site: Site) -> None:
    """If a thread opens the warehouse inside its own block, it fails with a sentence after the lock wait."""
    warehouse = WarehouseFile(site.config.warehouse, 0.2)
    with (
        warehouse.reading(),
        pytest.raises(WarehouseLockedError, match="elsewhere in this process"),
        warehouse.reading(),
    ):
        pass
