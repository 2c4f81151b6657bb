"""The verb `shell`: with a line editor on a terminal, or reading a pipe; it does not keep the warehouse open."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import select
import stat
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import ENDLESS, Answered, Desk, ask, built

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
PROMPT = "history>"
# The session's leader makes its stdin the controlling terminal, which sends Ctrl-C.
STARTED = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from image_history.cli import main
main(sys.argv[1:])
"""


@dataclass(slots=True)
class Terminal:
    """A terminal on which a shell runs."""

    process: subprocess.Popen[bytes]
    ours: int
    screen: str = ""

    def type(self, keys: str) -> None:
        """Press keys."""
        os.write(self.ours, keys.encode())

    def until(self, text: str, seconds: float = 30) -> str:
        """Wait for `text` on the screen; return the screen up to and with it, without escape codes."""
        deadline = time.monotonic() + seconds
        while text not in self.screen:
            ready, _, _ = select.select([self.ours], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} is not on the screen: {self.screen!r}"
            self.screen += self.read()
        seen, _, self.screen = self.screen.partition(text)
        return seen + text

    def read(self) -> str:
        """The text that can be read; empty once the other side is closed."""
        try:
            return ESCAPES.sub("", os.read(self.ours, 65_536).decode(errors="replace"))
        except OSError:
            return ""


@contextmanager
def shell(warehouse: Path, *arguments: str, **variables: str) -> Iterator[Terminal]:
    """A shell at its prompt, on a terminal of its own."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, 200))
    path = f"{Path(__file__).parents[2]}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONPATH": path, "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-c", STARTED, "--warehouse", str(warehouse), "shell", *arguments],
        env={**os.environ, **environment, **variables},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    terminal = Terminal(process, ours)
    try:
        terminal.until(PROMPT)
        yield terminal
    finally:
        process.kill()
        process.wait(timeout=20)
        os.close(ours)


def fed(ask: Desk, monkeypatch: pytest.MonkeyPatch, text: str, *arguments: str) -> Answered:
    """Run a shell with this text on its stdin; returns what it printed."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    return ask("shell", *arguments)


def test_hints_of_the_shell_are_its_commands(ask: Desk) -> None:
    """For columns and rows that are not shown, the shell names its own commands, not the options of query."""
    with shell(ask.warehouse, PAGER="cat") as terminal:
        terminal.type("FROM image_versions WHERE version = 2;\r")
        terminal.until("etl_read_at. .mode blocks shows all.")
        terminal.until(PROMPT)
        terminal.type("FROM range(1001);\r")
        terminal.until("of the command image-history shell, all with .mode csv.")


def test_shell_on_a_terminal_answers_remembers_and_leaves(ask: Desk, tmp_path: Path) -> None:
    """Tab completes, a statement may span lines, an error ends nothing, Ctrl-D exits; the history file is private."""
    with shell(ask.warehouse, XDG_STATE_HOME=str(tmp_path / "state")) as terminal:
        terminal.type("SELECT 'rows: ' || count(*) AS n FROM current_im\t")
        terminal.until("current_image_versions")
        terminal.type("\r")
        terminal.until("...>")
        terminal.type("WHERE version = -1;\r")
        terminal.until("rows: 0")
        terminal.until(PROMPT)
        terminal.type("SELECT nosuch FROM runs;\r")
        terminal.until('There is no column "nosuch"')
        terminal.until(PROMPT)
        terminal.type("SELECT 1")
        terminal.until("SELECT 1")
        terminal.type("\x03")
        terminal.until("Cancelled.")
        terminal.until(PROMPT)
        terminal.type("\x04")
        assert terminal.process.wait(timeout=20) == 0
    history = tmp_path / "state" / "image-history" / "history"
    assert (
        "+SELECT 'rows: ' || count(*) AS n FROM current_image_versions\n+WHERE version = -1;\n"
        in history.read_text()
    )
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert stat.S_IMODE(history.parent.stat().st_mode) == 0o700


def test_shell_at_its_prompt_delays_no_sync(ask: Desk, tmp_path: Path) -> None:
    """While a shell waits at its prompt, also after an answer, the warehouse can be written."""
    warehouse = tmp_path / "copy.duckdb"
    warehouse.write_bytes(ask.warehouse.read_bytes())
    with shell(warehouse, XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.type("SELECT 'answered' || 1 AS x;\r")
        terminal.until("answered1")
        terminal.until(PROMPT)
        with WarehouseFile(warehouse, 0.0).writing() as connection:
            assert connection.table("session/tables").num_rows > 5
        terminal.type(".exit\r")
        assert terminal.process.wait(timeout=20) == 0


def test_ctrl_c_ends_the_statement_and_not_the_shell(ask: Desk, tmp_path: Path) -> None:
    """Ctrl-C cancels an endless statement and the shell goes on, even if it cannot store its history."""
    (tmp_path / "spill").mkdir()
    (tmp_path / "file").write_text("no folder")
    with shell(
        ask.warehouse, XDG_STATE_HOME=str(tmp_path / "file"), TMPDIR=str(tmp_path / "spill")
    ) as terminal:
        terminal.type(f"{ENDLESS};\r")
        while not list((tmp_path / "spill").iterdir()):
            assert terminal.process.poll() is None
        terminal.type("\x03")
        terminal.until("Cancelled.")
        terminal.until(PROMPT)
        terminal.type("SELECT 'still' || 'here' AS x;\r")
        terminal.until("stillhere")


def test_shell_without_a_terminal_runs_what_it_is_fed(ask: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shell on a pipe runs statements, dot commands and saved queries in order; the last semicolon is optional."""
    text = f".mode jsonl\nSELECT ';' AS a; SELECT\n 2 AS b;\n@version-history image={ask.image}\nSELECT 3 AS c -- end"
    answered = fed(ask, monkeypatch, text)
    assert (answered.code, answered.err) == (0, "")
    rows = [json.loads(line) for line in answered.lines]
    assert rows[:2] == [{"a": ";"}, {"b": 2}]
    assert rows[-1] == {"c": 3}
    assert {row["image_name"] for row in rows[2:-1]} == {ask.image}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        pytest.param("SELECT 1 AS x; SELECT nosuch; SELECT 2;", 'no column "nosuch"', id="statement"),
        pytest.param("SELECT 1 AS x; DROP TABLE runs;", "DROP is refused", id="refused"),
        pytest.param("SELECT 1 AS x; SELECT 'open;", "unterminated", id="open"),
        pytest.param("SELECT 1 AS x;\n.nosuch\n", "There is no command .nosuch; .help", id="command"),
        pytest.param("SELECT 1 AS x;\n.mode xml\n", ".mode is one of table, blocks, csv", id="mode"),
        pytest.param("SELECT 1 AS x;\n.timer maybe\n", ".timer is on or off; it is off", id="timer"),
        pytest.param("SELECT 1 AS x;\n.schema 'x\n", "no closing quotation", id="quote"),
        pytest.param("SELECT 1 AS x;\n@nosuch-query\n", "no saved query @nosuch-query", id="saved"),
        pytest.param("SELECT 1 AS x;\n@version-history x\n", "takes PARAMETER=VALUE", id="parameter"),
    ],
)
def test_shell_without_a_terminal_ends_at_the_first_error(
    ask: Desk, monkeypatch: pytest.MonkeyPatch, text: str, sentence: str
) -> None:
    """Statements before the first error are answered, later ones are not run; exit code 2 and one sentence."""
    answered = fed(ask, monkeypatch, text)
    assert (answered.code, answered.lines) == (2, ["x", "1"])
    assert len(answered.err.splitlines()) == 1
    assert sentence in answered.err


def test_shell_has_lines_of_its_own(ask: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dot commands list tables, columns, saved queries and help, turn the timer on, and end the shell."""
    text = ".tables\n.schema streams\n.queries\n.help\n.timer on\nSELECT 1 AS x;\n.exit\nSELECT 2 AS never;\n"
    answered = fed(ask, monkeypatch, text)
    assert answered.code == 0
    assert re.fullmatch(r"\d+\.\d{3} s\n", answered.err)
    for words in ("image_versions_as_of", "last_full_at", "@newest-versions: ", ".mode FORMAT"):
        assert words in answered.out
    assert answered.lines[-2:] == ["x", "1"]


def test_shell_without_a_warehouse_says_what_to_do(ask: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a warehouse the shell exits with 2, like `query`."""
    answered = fed(ask, monkeypatch, "SELECT 1;", "--warehouse", "none.duckdb")
    assert answered.code == 2
    assert "run image-history sync first" in answered.err


def test_shell_survives_what_duckdb_cannot_stop(ask: Desk, tmp_path: Path) -> None:
    """After a query that DuckDB cannot stop, or that crashes its process, the shell answers the next statement."""
    with shell(ask.warehouse, "--timeout", "300ms", XDG_STATE_HOME=str(tmp_path)) as terminal:
        terminal.type("SELECT levenshtein(repeat('a', 1_000_000), repeat('b', 1_000_000));\r")
        terminal.until("The query was stopped after 300ms")
        terminal.until(PROMPT)
        terminal.type("SELECT json_structure(repeat('[', 100_000) || repeat(']', 100_000)) IS NULL AS x;\r")
        terminal.until(PROMPT)
        terminal.type("SELECT 'answer' || 42 AS x;\r")
        terminal.until("answer42")
