"""What a terminal shows: rows fit its width, colours can be turned off, and escape codes in rows have no effect."""

from __future__ import annotations

import os
import pty
import re
import sys
import termios
from pathlib import Path

import pytest
from rich.cells import cell_len

from image_history.cli import paging
from tests.behaviour.asking import HOSTILE, Desk, ask, built
from tests.behaviour.spawning import spawn_on

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

WIDE = "FROM image_versions WHERE version = 2 ORDER BY image_name"
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def on_terminal(
    warehouse: Path, *arguments: str, columns: int = 80, seated: bool = False, **variables: str
) -> tuple[int, str]:
    """Exit code and screen of a command whose stdout is a terminal of that width; if `seated`, its stdin too."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    environment = {**os.environ, "TERM": "xterm-256color", **variables}
    process = spawn_on(theirs, ["--warehouse", str(warehouse), *arguments], environment, seated=seated)
    os.close(theirs)
    screen = b""
    while chunk := read_some(ours):
        screen += chunk
    os.close(ours)
    return process.wait(timeout=60), screen.decode().replace("\r\n", "\n")


def read_some(terminal: int) -> bytes:
    """The bytes that can be read; empty once the other side is closed, which Linux reports as an error."""
    try:
        return os.read(terminal, 65_536)
    except OSError:
        return b""


def assert_fits(screen: str, columns: int) -> None:
    """No line is wider than the terminal, and it has no escape codes but colours."""
    for line in COLOUR.sub("", screen).splitlines():
        assert cell_len(line) <= columns, line
        assert line.isprintable(), line


@pytest.mark.parametrize("columns", [60, 80, 110, 200])
def test_rows_fit_the_terminal(ask: Desk, columns: int) -> None:
    """At any width a narrow and a wide result are tables that fit; the columns that are left out are named."""
    narrow = "SELECT image_name, version, failure_reason FROM failed_versions"
    assert_fits(on_terminal(ask.warehouse, "query", narrow, columns=columns)[1], columns)
    code, screen = on_terminal(ask.warehouse, "query", WIDE, columns=columns, NO_COLOR="1")
    assert_fits(screen, columns)
    assert (code, "row 1" in screen) == (0, False)
    for name in ("image_name", "version", "image_version_status", "image_arn", "creation_time"):
        assert name in screen
    assert "Left out for lack of room:" in screen
    assert ask.image in screen


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_blocks_hold_every_column_whole(ask: Desk, columns: int) -> None:
    """With --format blocks each column has its whole value, wrapped where needed."""
    code, screen = on_terminal(ask.warehouse, "query", WIDE, "--format", "blocks", columns=columns)
    assert code == 0
    assert_fits(screen, columns)
    told = re.sub(r"\s", "", COLOUR.sub("", screen))
    assert f"image_version_arnarn:aws:sagemaker:us-east-1:111122223333:image-version/{ask.image}/2" in told
    assert "etl_run_id" in told


def test_hostile_rows_do_nothing_to_the_terminal(ask: Desk) -> None:
    """Escape sequences of a FailureReason are removed in every format that a terminal can show."""
    sql = "SELECT DISTINCT failure_reason FROM image_version_events WHERE failure_reason IS NOT NULL"
    for how in ("table", "blocks", "csv", "tsv", "json", "jsonl", "markdown"):
        _, screen = on_terminal(ask.warehouse, "query", sql, "--format", how)
        assert "red" in screen
        assert all(line.isprintable() for line in COLOUR.sub("", screen).splitlines())
        assert "\x1b[31m" not in screen
    assert "\x1b[31m" in HOSTILE


def test_no_color_means_no_escape_code(ask: Desk) -> None:
    """With NO_COLOR the output has no escape code; without it there are some."""
    sql = "SELECT 1 AS a, NULL AS b"
    assert "\x1b[" in on_terminal(ask.warehouse, "query", sql)[1]
    assert "\x1b" not in on_terminal(ask.warehouse, "query", sql, NO_COLOR="1")[1]
    assert "\x1b" not in on_terminal(ask.warehouse, "schema", NO_COLOR="1")[1]


def test_no_rows_are_said_to_be_none(ask: Desk) -> None:
    """An empty result prints "no rows" and its columns."""
    screen = on_terminal(ask.warehouse, "query", "SELECT 1 AS a WHERE false", NO_COLOR="1")[1]
    assert screen == "no rows (a)\n"


def test_parquet_is_kept_from_the_terminal(ask: Desk) -> None:
    """Parquet to a terminal exits with 2 and suggests --output."""
    code, screen = on_terminal(ask.warehouse, "query", "SELECT 1", "--format", "parquet")
    assert code == 2
    assert "--output" in screen


def test_schema_fits_the_terminal(ask: Desk) -> None:
    """The output of `schema` fits 80 columns; at 60 it names a way that it has to show the columns it leaves out."""
    code, screen = on_terminal(ask.warehouse, "schema")
    assert code == 0
    assert_fits(screen, 80)
    narrow = on_terminal(ask.warehouse, "schema", "image_version_events", columns=60, NO_COLOR="1")[1]
    assert "schema --json shows all." in " ".join(narrow.split())
    assert "meaning" in narrow
    assert "blocks" not in narrow


@pytest.fixture
def pager(tmp_path: Path) -> str:
    """A pager that prints how many lines it received, and whether they had colours."""
    script = tmp_path / "pager.py"
    script.write_text(
        "import sys; text = sys.stdin.read(); print('paged', text.count('\\n'), '\\x1b' in text)"
    )
    return f"{sys.executable} {script}"


def test_long_table_goes_through_the_pager(ask: Desk, pager: str) -> None:
    """A table longer than the terminal is paged, in colours unless NO_COLOR is set; a shorter one is printed."""
    long, short = "FROM range(60)", "FROM range(20)"
    assert on_terminal(ask.warehouse, "query", long, seated=True, PAGER=pager)[1] == "paged 62 True\n"
    screen = on_terminal(ask.warehouse, "query", long, seated=True, PAGER=pager, NO_COLOR="1")[1]
    assert screen == "paged 62 False\n"
    assert "paged" not in on_terminal(ask.warehouse, "query", short, seated=True, PAGER=pager)[1]


def test_options_of_the_pager_are_the_users(ask: Desk, tmp_path: Path) -> None:
    """If LESS is set, the pager gets that value; otherwise it gets our default."""
    script = tmp_path / "pager.py"
    script.write_text("import os, sys; sys.stdin.read(); print('options', os.environ['LESS'])")
    query = ("query", "FROM range(60)")
    pager = f"{sys.executable} {script}"
    own = on_terminal(ask.warehouse, *query, seated=True, PAGER=pager, LESS="-X")[1]
    ours = on_terminal(ask.warehouse, *query, seated=True, PAGER=pager)[1]
    assert own == "options -X\n" != ours


@pytest.mark.parametrize(
    ("arguments", "name"),
    [pytest.param(["--no-pager"], "", id="option"), pytest.param([], "no-such-pager-here", id="missing")],
)
def test_table_is_printed_where_no_pager_is_wanted(
    ask: Desk, pager: str, arguments: list[str], name: str
) -> None:
    """With --no-pager, or if the pager cannot be started, the table is printed."""
    code, screen = on_terminal(
        ask.warehouse, "query", "FROM range(60)", *arguments, seated=True, PAGER=name or pager
    )
    assert code == 0
    assert "paged" not in screen
    assert screen.rstrip().endswith("59")


@pytest.mark.parametrize(
    ("variables", "seated", "command"),
    [
        pytest.param({}, True, ["less"], id="usual"),
        pytest.param({"PAGER": "more -d 'x y'"}, True, ["more", "-d", "x y"], id="other"),
        pytest.param({"PAGER": ""}, True, [], id="empty"),
        pytest.param({"PAGER": "cat"}, True, [], id="cat"),
        pytest.param({"PAGER": "'open"}, True, [], id="quote"),
        pytest.param({"TERM": "dumb"}, True, [], id="dumb"),
        pytest.param({}, False, [], id="nobody-there"),
    ],
)
def test_pager_is_for_who_sits_at_the_terminal(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], seated: bool, command: list[str]
) -> None:
    """PAGER is split as a shell does; a dumb terminal and a stdin that is no terminal have no pager."""
    monkeypatch.delenv("PAGER", raising=False)
    for name, value in {"TERM": "xterm", **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: seated, raising=False)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert list(paging.pager()) == command


def test_pager_that_is_left_early_is_no_error(ask: Desk) -> None:
    """If the user leaves the pager early, the command drops the rest and exits with 0."""
    leaving = f"{sys.executable} -c pass"
    arguments = ("query", "SELECT repeat('x', 200) FROM range(900)")
    assert on_terminal(ask.warehouse, *arguments, seated=True, PAGER=leaving) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (["query", "FROM runs"], "name a file with --output, or pipe it"),
        (["status"], "pipe it into a file, as with >"),
    ],
)
def test_binary_format_is_refused_with_what_the_verb_can_do(
    ask: Desk, arguments: list[str], fix: str
) -> None:
    """A binary format on a terminal is refused; --output is proposed only by a verb that has it."""
    code, screen = on_terminal(ask.warehouse, *arguments, "--format", "parquet", columns=200)
    assert (code, f"Parquet is not for a terminal: {fix}" in screen) == (2, True), screen
