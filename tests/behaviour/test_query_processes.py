"""The process that runs queries: a query that DuckDB cannot stop, or that crashes it, ends that process only."""

from __future__ import annotations

import enum
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from image_history import Warehouse
from image_history.errors import QueryError
from image_history.warehouse import answerers
from tests.behaviour.asking import ENDLESS, Desk, ask, built
from tests.behaviour.spawning import spawn

__all__ = ["ask", "built"]

pytestmark = [
    pytest.mark.duckdb,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]

ROOT = Path(__file__).parents[2]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Queries that no interrupt stops: each computes one value for minutes.
DEAF = {
    "levenshtein": "SELECT levenshtein(repeat('a', 1_000_000), repeat('b', 1_000_000))",
    "printf": "SELECT length(printf('%1500000000d', 1))",
}
DEEP = "SELECT json_structure(repeat('[', 100_000) || repeat(']', 100_000))"
# Runs queries that are deeply nested, cannot be stopped or need too much memory; then prints the peak memory.
KERNEL = """
import resource, sys
from datetime import timedelta
from image_history import Warehouse
from image_history.errors import QueryError
warehouse = Warehouse(sys.argv[1], timeout=timedelta(seconds=1))
for sql in sys.argv[2:]:
    try:
        print("answered", len(warehouse.query(sql)))
    except QueryError as error:
        print("refused", error)
    print(warehouse.query("SELECT 40 + 2 AS n").rows()[0]["n"])
from image_history.warehouse import answerers
answerers.close()
# getrusage of a program counts what its parent was before it began.
(own,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, own)
"""
# Is interrupted in an endless query, as by the stop button of a notebook, and then runs another query.
INTERRUPTED = """
import sys
from image_history import Warehouse
warehouse = Warehouse(sys.argv[1])
print(warehouse.query("SELECT 1 AS n").rows()[0]["n"], flush=True)
try:
    warehouse.query(sys.argv[2])
except KeyboardInterrupt:
    print("interrupted")
print(warehouse.query("SELECT 42 AS n").rows()[0]["n"])
"""
FORKED = """
import os, sys
from image_history import Warehouse
warehouse = Warehouse(sys.argv[1])
warehouse.query("SELECT 1 AS n")
forked = os.fork()
mine = "child" if forked == 0 else "parent"
for number in range(20):
    assert warehouse.query("SELECT $n AS n", n=f"{mine} {number}").rows() == [{"n": f"{mine} {number}"}]
if forked == 0:
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1]))
"""


def children(pid: int) -> list[int]:
    """The child processes of `pid` that answer its queries."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        found += map(int, task.read_text().split())
    return [one for one in found if "warehouse.answering" in Path(f"/proc/{one}/cmdline").read_text()]


def ticks(pid: int) -> int:
    """The processor time of a process, in clock ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def until_busy(pid: int, before: int) -> None:
    """Wait until a process has worked longer than the start of a query takes: half a second."""
    until(30, lambda: ticks(pid) - before > os.sysconf("SC_CLK_TCK") // 2)


def is_gone(pid: int) -> bool:
    """Whether a process has ended: it does not exist, or only its exit code is left."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def until(seconds: float, reached: object) -> None:
    """Wait until `reached` returns true, for `seconds` at most."""
    deadline = time.monotonic() + seconds
    assert callable(reached)
    while not reached():
        assert time.monotonic() < deadline
        # These may be processes of another process: nothing reports their end, so they are polled.
        time.sleep(0.01)


@contextmanager
def python(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A running Python program, which is killed when the block ends."""
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


@pytest.fixture
def warehouse(ask: Desk) -> Warehouse:
    """A warehouse with a history; the tests must not change it."""
    return Warehouse(ask.warehouse, timeout=timedelta(seconds=40))


@pytest.mark.parametrize("sql", DEAF.values(), ids=DEAF)
def test_question_that_duckdb_cannot_stop_ends_in_time(ask: Desk, sql: str) -> None:
    """A query that DuckDB cannot stop ends soon after its timeout plus 5 s; the next query is answered."""
    warehouse = Warehouse(ask.warehouse, timeout=timedelta(milliseconds=500))
    started = time.monotonic()
    with pytest.raises(QueryError, match=r"stopped after 500ms|needs more memory"):
        warehouse.query(sql)
    assert time.monotonic() - started < 15
    assert warehouse.query("SELECT 1 AS x").rows() == [{"x": 1}]


def test_program_survives_what_duckdb_does_not(ask: Desk) -> None:
    """After queries that DuckDB cannot stop or crashes on, a program goes on, within the documented memory."""
    greedy = "SELECT length(repeat(repeat('a', 100_000), 40_000))"
    with python(KERNEL, str(ask.warehouse), DEEP, *DEAF.values(), greedy) as kernel:
        output, errors = kernel.communicate(timeout=120)
    assert (kernel.returncode, errors) == (0, "")
    *said, sizes = output.splitlines()
    assert [line for line in said if line == "42"] == ["42"] * 4
    assert [line.split()[0] for line in said if line != "42"][1:] == ["refused"] * 3
    asked, asking = map(int, sizes.split())
    assert asked < 2.2 * 1024**2
    assert asking < 300 * 1024


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        pytest.param(signal.SIGSEGV, r"ended during the query \(SIGSEGV\)", id="crash"),
        pytest.param(signal.SIGABRT, r"ended during the query \(SIGABRT\)", id="abort"),
        pytest.param(
            signal.SIGKILL, "was killed, most likely because the machine ran out of memory", id="killed"
        ),
    ],
)
def test_death_of_the_process_is_a_sentence(
    warehouse: Warehouse, number: signal.Signals, sentence: str
) -> None:
    """However the process ends, the error names the cause, and another process answers the next query."""
    warehouse.query("SELECT 1")
    (process,) = children(os.getpid())
    with ThreadPoolExecutor(1) as pool:
        before = ticks(process)
        asked = pool.submit(warehouse.query, ENDLESS)
        until_busy(process, before)
        os.kill(process, number)
        with pytest.raises(QueryError, match=sentence):
            asked.result(timeout=60)
    assert warehouse.query("SELECT 1 AS x").rows() == [{"x": 1}]


def test_process_that_does_not_even_give_up_is_ended(ask: Desk) -> None:
    """If the process does not react, for example because it is stopped, it is killed at the query's timeout."""
    warehouse = Warehouse(ask.warehouse, timeout=timedelta(seconds=2))
    warehouse.query("SELECT 1")
    (process,) = children(os.getpid())
    with ThreadPoolExecutor(1) as pool:
        before = ticks(process)
        asked = pool.submit(warehouse.query, ENDLESS)
        until_busy(process, before)
        os.kill(process, signal.SIGSTOP)
        with pytest.raises(QueryError, match="stopped after 2s"):
            asked.result(timeout=60)
    assert is_gone(process)
    assert warehouse.query("SELECT 1 AS x").rows() == [{"x": 1}]


def test_command_says_that_duckdb_died(built: tuple[Path, str, object], tmp_path: Path) -> None:
    """If DuckDB crashes, the command exits with 2 and one sentence; it prints no row and leaves no core file."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = spawn(
        ["--warehouse", str(built[0]), "query", ENDLESS], folder=tmp_path, environment=environment
    )
    command.until(lambda: bool(children(command.pid)))
    (process,) = children(command.pid)
    until_busy(process, 2 * os.sysconf("SC_CLK_TCK"))
    os.kill(process, signal.SIGSEGV)
    output, errors = command.communicate(timeout=60)
    assert (command.returncode, output) == (2, "")
    assert errors == (
        "image-history: DuckDB's process ended during the query (SIGSEGV): a fault in DuckDB, or more memory than a "
        "query may use. Ask for less, or write the query in another way; the warehouse was not changed.\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_process_is_kept_between_questions(warehouse: Warehouse) -> None:
    """One process answers consecutive queries; if it dies while idle, the next query is answered by a new one."""
    warehouse.query("SELECT 1")
    (first,) = children(os.getpid())
    warehouse.query("SELECT 1")
    with pytest.raises(QueryError):
        warehouse.query("SELECT nosuch FROM runs")
    assert children(os.getpid()) == [first]
    os.kill(first, signal.SIGKILL)
    assert warehouse.query("SELECT 1 AS x").rows() == [{"x": 1}]
    assert first not in children(os.getpid())


def test_process_that_grew_is_not_kept(ask: Desk) -> None:
    """A process that has grown ends after its query, so that its memory is not held until the next query."""
    warehouse = Warehouse(ask.warehouse)
    warehouse.query("SELECT 1")
    (first,) = children(os.getpid())
    sql = (
        "SELECT count(*) FROM (SELECT range, repeat('x', 100) || range AS x FROM range(6_000_000) ORDER BY x)"
    )
    assert warehouse.query(f"{sql} WHERE x <> ''").rows()[0]["count_star()"] == 6_000_000
    until(30, lambda: is_gone(first))


def test_process_ends_with_who_asks(ask: Desk) -> None:
    """If a program is killed during a query, its query process ends too."""
    with python(INTERRUPTED, str(ask.warehouse), ENDLESS) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "1\n"
        (process,) = children(program.pid)
        until_busy(process, ticks(process))
        program.kill()
        program.wait(timeout=60)
        until(30, lambda: is_gone(process))


def test_interrupted_question_leaves_the_program_alive(ask: Desk) -> None:
    """An interrupt, such as a notebook's stop button, ends the query at once, and the program goes on."""
    with python(INTERRUPTED, str(ask.warehouse), ENDLESS) as program:
        assert program.stdout is not None
        assert program.stdout.readline() == "1\n"
        (process,) = children(program.pid)
        until_busy(process, ticks(process))
        # Ctrl-C in a terminal goes to every process of its foreground group.
        os.killpg(program.pid, signal.SIGINT)
        output, errors = program.communicate(timeout=60)
        assert (program.returncode, output, errors) == (0, "interrupted\n42\n", "")
        assert is_gone(process)


def test_fork_asks_by_a_process_of_its_own(ask: Desk) -> None:
    """A forked program and its parent each get only the answers to their own queries."""
    with python(FORKED, str(ask.warehouse)) as program:
        output, errors = program.communicate(timeout=120)
    assert (program.returncode, output) == (0, "0\n"), errors


def test_threads_of_one_program_share_one_process(warehouse: Warehouse) -> None:
    """Queries of several threads to one file run one at a time in one process, so they need the memory of one."""
    most, over = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not over.is_set():
            with suppress(OSError):
                most = max(most, len(children(os.getpid())))

    with ThreadPoolExecutor(9) as pool:
        watching = pool.submit(watch)
        list(pool.map(lambda number: warehouse.query("SELECT $n", n=number), range(16)))
        over.set()
        watching.result(timeout=60)
    assert most == 1


class Kind(enum.StrEnum):
    """A text type that the program defines."""

    EAST = "us-east-1"


def test_values_of_other_types_are_those_of_python(warehouse: Warehouse) -> None:
    """Values of enumerations, numpy and pandas are passed as the Python values that they stand for."""
    instant = datetime(2026, 7, 1, 12, 0, 0, 123456, UTC)
    values = {
        "kind": Kind.EAST,
        "number": np.int64(5),
        "real": np.float64(0.5),
        "yes": np.bool_(1),
        "no": False,
        "instant": pd.Timestamp(instant),
        "some": [np.int64(1), Kind.EAST],
    }
    sql = (
        "SELECT $kind AS kind, $number AS number, $real AS real, $yes AS yes, $no AS no, $instant AS instant"
    )
    (row,) = warehouse.query(sql, **{name: value for name, value in values.items() if name != "some"}).rows()
    assert row == {
        "kind": "us-east-1",
        "number": 5,
        "real": 0.5,
        "yes": True,
        "no": False,
        "instant": instant,
    }
    assert warehouse.query("SELECT $some::VARCHAR[] AS x", some=values["some"]).rows() == [
        {"x": ["1", "us-east-1"]}
    ]


@pytest.mark.parametrize("value", [lambda: 1, type("Own", (), {})()], ids=["function", "own-type"])
def test_value_of_no_type_of_sql_is_refused(warehouse: Warehouse, value: object) -> None:
    """A value without an SQL type raises QueryError; the next query is answered."""
    with pytest.raises(QueryError, match="a type that SQL does not know"):
        warehouse.query("SELECT $x", x=value)  # type: ignore[arg-type]  # on purpose
    assert warehouse.query("SELECT 1 AS x").rows() == [{"x": 1}]


def test_path_is_that_of_who_asks(ask: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative path is resolved in the program's present working directory, not in that of the process's start."""
    Warehouse(ask.warehouse).query("SELECT 1")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "copy.duckdb").write_bytes(ask.warehouse.read_bytes())
    monkeypatch.chdir(elsewhere)
    assert len(Warehouse("copy.duckdb").current()) > 0


def test_interpreter_that_is_none_is_named(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the Python interpreter cannot be started, the error names the function that sets it, for embedded Python."""
    answerers.close()
    monkeypatch.delitem(sys.modules, "multiprocessing.spawn", raising=False)
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(
        QueryError, match=r"cannot be started \(/nowhere/python: .*multiprocessing.set_executable"
    ):
        warehouse.query("SELECT 1")


def test_statement_that_is_no_text_is_refused(warehouse: Warehouse) -> None:
    """A statement with half of a surrogate pair, as a broken file gives it, raises QueryError."""
    with pytest.raises(QueryError, match="is not valid text"):
        warehouse.query("SELECT '\ud800'")


def test_instants_are_those_of_aws_in_utc(ask: Desk, warehouse: Warehouse) -> None:
    """Instants that a query returns are those of AWS, exact to the millisecond, and have the time zone UTC."""
    sql = "SELECT image_name, version, creation_time FROM image_versions"
    rows = warehouse.query(sql).rows()
    assert {row["creation_time"].tzinfo for row in rows} == {UTC}
    told = {(row["image_name"], row["version"]): row["creation_time"] - EPOCH for row in rows}
    assert told == {
        (row.image_name, row.version): timedelta(milliseconds=row.creation_ms) for row in ask.world.truth()
    }
    assert any(instant % timedelta(seconds=1) for instant in told.values())
