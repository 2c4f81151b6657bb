"""The command `query`: what it prints and writes, what its options do, and what it refuses."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import stat
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from image_history.formats import NAMES
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import HOSTILE, Desk, ask, built, rows_of
from tests.behaviour.belongings import fingerprint

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

VERSIONS = "FROM image_versions ORDER BY account_id, region, image_name, version"
KEYS = "SELECT image_name, version, creation_time FROM image_versions ORDER BY image_name, version"


def test_query_prints_a_table(ask: Desk) -> None:
    """Without --format, a query prints aligned text: a header and every row, without lines between columns."""
    answered = ask("query", "SELECT 1 AS a, 'x' AS long_name UNION ALL SELECT 222, NULL ORDER BY a")
    assert (answered.code, answered.err) == (0, "")
    assert answered.lines == ["  a  long_name", "  1  x", "222  NULL"]


def test_query_gives_the_same_rows_in_every_format(ask: Desk, tmp_path: Path) -> None:
    """CSV, JSON, JSON Lines and Parquet have the same rows, with instants to the millisecond."""
    iso = "strftime(creation_time, '%Y-%m-%dT%H:%M:%S.%gZ')"
    expected = [
        {"image_name": name, "version": version, "creation_time": instant}
        for name, version, instant in rows_of(ask.warehouse, KEYS.replace("creation_time", iso))
    ]
    assert len(expected) > 100
    assert json.loads(ask("query", KEYS, "--format", "json").out) == expected
    lines = ask("query", KEYS, "--format", "jsonl").out.splitlines()
    assert [json.loads(line) for line in lines] == expected
    table = csv.DictReader(io.StringIO(ask("query", KEYS, "--format", "csv").out, newline=""))
    assert [row | {"version": int(row["version"])} for row in table] == expected
    ask("query", KEYS, "--output", "rows.parquet")
    instants = pq.read_table(tmp_path / "rows.parquet")["creation_time"].to_pylist()
    assert [f"{one:%Y-%m-%dT%H:%M:%S}.{one.microsecond // 1000:03}Z" for one in instants] == [
        row["creation_time"] for row in expected
    ]


def test_query_reads_sql_from_stdin(ask: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dash reads SQL from stdin, with comments and a semicolon; bytes that are not UTF-8 are refused."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"-- one\nSELECT 'caf\xc3\xa9' AS x; \n")))
    assert ask("query", "-").lines == ["x", "café"]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"SELECT '\xff'")))
    answered = ask("query", "-")
    assert (answered.code, answered.err) == (2, "image-history: The SQL on stdin is not UTF-8 text.\n")


def test_query_binds_parameters_and_splices_none(ask: Desk) -> None:
    """A parameter's value is data, never SQL, and is converted to the type that it is compared with."""
    evil = "x' OR 1=1; DROP TABLE runs; --"
    assert ask("query", "SELECT $v AS v", "--param", f"v={evil}", "--format", "json").out.count(evil) == 1
    sql = "SELECT count(*) AS n FROM image_versions WHERE image_name = $image AND version <= $most"
    answered = ask("query", sql, "--param", f"image={ask.image}", "--param", "most=2", "--format", "jsonl")
    assert json.loads(answered.out) == {"n": 2}
    assert ask("query", "SELECT $a || '=' || $A AS v", "--param", "$a=b=c").lines == ["v", "b=c=b=c"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(["SELECT $a"], r"parameter \$a has no value: add --param a=VALUE", id="missing"),
        pytest.param(["SELECT $a", "--param", "b=1"], r"no parameter \$b; it has \$a", id="wrong"),
        pytest.param(["SELECT 1", "--param", "b=1"], r"no parameter \$b\.", id="surplus"),
        pytest.param(["SELECT $a", "--param", "a"], r"'a' is not NAME=VALUE", id="no-value"),
        pytest.param(["SELECT $a", "--param", "a=1", "--param", "a=2"], "a is given twice", id="twice"),
        pytest.param(["SELECT $a", "--param", "a=1", "--param", "A=2"], "given twice", id="twice-in-case"),
        pytest.param(["@version-history"], r"@version-history needs \$image, the name of", id="saved"),
        pytest.param(["SELECT $v::INT", "--param", "v=x"], "Could not convert string 'x'", id="no-number"),
    ],
)
def test_query_names_the_parameter_that_is_wrong(ask: Desk, arguments: list[str], sentence: str) -> None:
    """With a missing, surplus, repeated or mistyped parameter, `query` exits with 2 and names the parameter."""
    answered = ask("query", *arguments)
    assert answered.code == 2
    assert answered.out == ""
    assert re.search(sentence, answered.err.splitlines()[-1])


@pytest.mark.parametrize(
    ("sql", "sentence"),
    [
        pytest.param(
            "FROM image_version", "no table or view image_version here; the nearest: image_ver", id="t"
        ),
        pytest.param("FROM zzz", r"there are \d+, such as absent_versions, ", id="nothing-near"),
        pytest.param(
            "SELECT imagename FROM image_versions",
            r"the nearest: image_name, image_arn(, \w+)? \(and \d+ more\)",
            id="column-of-many",
        ),
        pytest.param("SELECT imagename FROM images", '"imagename" .*; the nearest: image_name', id="column"),
        pytest.param("SELECT x.host FROM images AS x", '"host" .*; it is a column of runs', id="elsewhere"),
        pytest.param("SELECT nosuch", 'no column "nosuch"', id="no-tables"),
        pytest.param("SELECT a.x FROM runs", "no table or view a here; .*runs", id="alias"),
        pytest.param(
            "SELEC 1", r'syntax error at or near "SELEC" \(line 1, column 1: SELEC 1\)', id="syntax"
        ),
        pytest.param("SELECT\n 1 FROM\n b b b", r"\(line 3, column 6: b b b\)", id="third-line"),
        pytest.param("SELECT foo(1)", "foo does not exist; the nearest: floor", id="function"),
        pytest.param("", "The query is empty", id="empty"),
        pytest.param("/* nothing */ -- at all", "The query is empty", id="comment"),
        pytest.param("SELECT 1; SELECT 2", "A query is one statement; these are 2", id="two"),
        pytest.param("@nosuch", "no saved query @nosuch; there are: alias-moves, ", id="no-saved-query"),
        pytest.param("PIVOT runs ON outcome USING count(*)", "PIVOT must name its columns", id="pivot"),
    ],
)
def test_query_explains_what_is_wrong_in_one_line(ask: Desk, sql: str, sentence: str) -> None:
    """A wrong query exits with 2 and one line, which has the nearest name or the place of a syntax error."""
    answered = ask("query", sql)
    assert answered.code == 2
    assert answered.out == ""
    assert len(answered.err.splitlines()) == 1
    assert re.search(sentence, answered.err), answered.err


def test_query_without_sql_says_what_to_write(ask: Desk) -> None:
    """Without SQL, `query` exits with 2 and names the three ways to write a query."""
    answered = ask("query")
    assert (answered.code, answered.out) == (2, "")
    assert (
        "write SQL, @NAME of a saved query (image-history queries lists them), or - for stdin."
        in answered.err
    )


@pytest.mark.parametrize("how", ["table", "markdown"])
def test_query_for_people_shows_a_thousand_rows(ask: Desk, how: str) -> None:
    """A table or Markdown ends after 1,000 rows and says so on stderr; other formats are complete."""
    above = {"table": 1, "markdown": 2}[how]
    answered = ask("query", "FROM range(1001)", "--format", how)
    assert len(answered.lines) == 1000 + above
    assert answered.err.startswith("Only the first 1,000 rows are shown")
    exact = ask("query", "FROM range(1000)", "--format", how)
    assert (len(exact.lines), exact.err) == (1000 + above, "")
    assert len(ask("query", "FROM range(1001)", "--format", "csv").lines) == 1002


@pytest.mark.parametrize("how", NAMES)
def test_query_stops_after_max_rows(ask: Desk, how: str) -> None:
    """In every format, --max-rows limits the rows, and ends a query that would not end by itself."""
    file = ("--output", f"rows.{how}") if NAMES[how].binary else ()
    answered = ask("query", "FROM range(1_000_000_000_000)", "--max-rows", "2", "--format", how, *file)
    assert answered.code == 0
    every = ", all with --format csv" if NAMES[how].for_people else ""
    assert answered.err == f"Only the first 2 rows are shown: more with --max-rows{every}.\n"
    few = ask("query", "FROM range(2)", "--format", how, *(part.replace("rows", "few") for part in file))
    assert (answered.out.replace("rows.", "few."), few.err) == (few.out, "")
    if how == "parquet":
        assert pq.read_table("rows.parquet").equals(pq.read_table("few.parquet"))


@pytest.mark.parametrize("most", ["0", "-1", "few"])
def test_query_refuses_max_rows_that_is_no_number_of_rows(ask: Desk, most: str) -> None:
    """--max-rows below 1, or no number, is refused."""
    answered = ask("query", "SELECT 1", "--max-rows", most)
    assert (answered.code, answered.out) == (2, "")
    assert "--max-rows" in answered.err


def test_query_writes_a_private_file_whole(ask: Desk, tmp_path: Path) -> None:
    """--output writes one file in the format of its suffix; only the owner may read it, and stdout reports it."""
    answered = ask("query", "SELECT 1 AS x", "--output", "x.csv")
    assert re.fullmatch(r"Wrote 1 row, 8 bytes: x\.csv\n", answered.out)
    assert (tmp_path / "x.csv").read_bytes() == b'"x"\r\n1\r\n'
    assert stat.S_IMODE((tmp_path / "x.csv").stat().st_mode) == 0o600
    ask("query", "SELECT 2 AS x", "--output", "x.csv", "--format", "jsonl")
    assert (tmp_path / "x.csv").read_text() == '{"x":2}\n'
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize(
    "sql", ["SELECT nosuch", "SELECT error('late') FROM range(5)", "SELECT i::INT FROM (VALUES ('x')) t(i)"]
)
def test_query_that_fails_keeps_the_old_file(ask: Desk, tmp_path: Path, sql: str) -> None:
    """A query that fails, early or late, leaves the file as it was and nothing beside it."""
    (tmp_path / "x.csv").write_text("old")
    assert ask("query", sql, "--output", "x.csv").code == 2
    assert (tmp_path / "x.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


def test_query_refuses_to_overwrite_the_warehouse(ask: Desk) -> None:
    """A result is never written over the warehouse, by whatever path."""
    for name in (
        str(ask.warehouse),
        f"{ask.warehouse.parent}/../{ask.warehouse.parent.name}/{ask.warehouse.name}",
    ):
        answered = ask("query", "SELECT 1", "--output", name)
        assert answered.code == 2
        assert "is the warehouse itself" in answered.err


def test_query_says_where_it_cannot_write(ask: Desk) -> None:
    """If the output's folder is missing, or the output is a folder, `query` exits with 2 and says so."""
    for place in ("none/x.csv", "."):
        answered = ask("query", "SELECT 1", "--output", place, "--format", "csv")
        assert answered.code == 2
        assert answered.err.startswith("image-history: Cannot write ")


@pytest.mark.parametrize("how", ["table", "markdown"])
def test_query_shows_a_hostile_reason_harmlessly(ask: Desk, how: str) -> None:
    """Escape sequences in a FailureReason are printed as harmless text."""
    answered = ask("query", "SELECT failure_reason FROM failed_versions", "--format", how)
    assert "red" in answered.out
    assert all(character.isprintable() for line in answered.lines for character in line)


def test_query_csv_neutralises_a_formula_from_aws(ask: Desk) -> None:
    """In CSV, a FailureReason that starts with = is marked as text for spreadsheets; JSON Lines has it unchanged."""
    sql = "SELECT DISTINCT failure_reason FROM image_version_events WHERE starts_with(failure_reason, '=')"
    rows = list(csv.reader(io.StringIO(ask("query", sql, "--format", "csv").out, newline="")))
    assert rows == [["failure_reason"], ["'" + HOSTILE]]
    assert json.loads(ask("query", sql, "--format", "jsonl").out) == {"failure_reason": HOSTILE}


def test_query_is_in_utc_whatever_the_machine(ask: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An instant in the hour that the machine's zone repeats is read and printed in UTC."""
    monkeypatch.setenv("TZ", "America/New_York")
    sql = "SELECT TIMESTAMPTZ '2026-11-01 05:30:00.007' AS x, x::VARCHAR AS y"
    assert ask("query", sql).lines[1].split("  ") == [
        "2026-11-01T05:30:00.007Z",
        "2026-11-01 05:30:00.007+00",
    ]


@pytest.mark.parametrize(
    "sql", ["-- hello\nSELECT 1 AS x", "--hello\nSELECT 1 AS x", "-- a=b\nFROM (SELECT 1 AS x)"]
)
def test_query_may_begin_with_a_comment(ask: Desk, sql: str) -> None:
    """SQL that begins with a comment is not taken for an option, wherever it stands."""
    assert ask("query", sql).lines == ["x", "1"]
    assert ask("query", sql, "--format", "jsonl").lines == ['{"x":1}']
    assert ask("query", "--max-rows", "1", sql, "--format", "csv").lines == ['"x"', "1"]
    assert ask("query", "--no-such", "SELECT 1").code == 2


def test_query_says_how_a_parameter_gets_its_type(ask: Desk) -> None:
    """A parameter is text that takes the type it is used with; if that is unknown, the error says to cast it."""
    answered = ask("query", "SELECT $n + 1 AS x", "--param", "n=5")
    assert answered.code == 2
    assert "text until it is cast, as in $n::BIGINT" in answered.err
    assert ask("query", "SELECT $n::BIGINT + 1 AS x", "--param", "n=5").lines == ["x", "6"]
    assert len(ask("query", "FROM range(9) LIMIT $n", "--param", "n=5").lines) == 6


def test_queries_lists_what_is_saved(ask: Desk) -> None:
    """`queries` lists each saved query with its meaning, parameters and an example, and opens no warehouse."""
    answered = ask("queries", "--warehouse", "none.duckdb")
    assert answered.code == 0
    assert "@newest-versions: " in answered.out
    assert "    runs: how many runs  [default: 20]" in answered.lines
    assert "    $ image-history query @version-history --param image=IMAGE" in answered.lines


def test_queries_give_an_example_that_works(ask: Desk) -> None:
    """Every example in the list works once its placeholder is replaced by an image's name."""
    for row in json.loads(ask("queries", "--format", "json").out):
        words = shlex.split(row["example"].replace("=IMAGE", f"={ask.image}"))
        answered = ask(*words[1:], "--format", "csv")
        assert answered.code == 0, answered.err
        assert answered.lines[0].replace('"', "") == row["columns"].replace(", ", ",")


def test_queries_shows_one_query_as_it_is(ask: Desk) -> None:
    """`queries` with a name prints that query's SQL, which gives the same result; a wrong name gets the nearest."""
    sql = ask("queries", "@newest-versions").out
    assert ask("query", sql).out == ask("query", "@newest-versions").out
    answered = ask("queries", "nwest-versions")
    assert answered.code == 2
    assert "no saved query @nwest-versions; the nearest: newest-versions" in answered.err


@pytest.mark.parametrize("text", ["5", "0s", "-1s", "soon"])
def test_query_refuses_a_timeout_that_is_none(ask: Desk, text: str) -> None:
    """A timeout that is not a duration above 0 is refused."""
    answered = ask("query", "SELECT 1", "--timeout", text)
    assert answered.code == 2
    assert "--timeout" in answered.err


def test_query_without_a_warehouse_says_what_to_do(ask: Desk, tmp_path: Path) -> None:
    """If the file is missing, no DuckDB database, or another program's, `query` exits with 2 and writes nothing."""
    (tmp_path / "text.duckdb").write_text("no database" * 1000)
    with duckdb.connect(tmp_path / "other.duckdb") as connection:
        connection.execute("CREATE TABLE t AS SELECT 1").fetchall()
    before = fingerprint(tmp_path)
    for name, words in (
        ("none.duckdb", "image-history sync"),
        ("text.duckdb", "not a DuckDB database"),
        ("other.duckdb", "database of another program"),
    ):
        answered = ask("query", "SELECT 1", "--warehouse", name)
        assert (answered.code, answered.out) == (2, "")
        assert words in answered.err
        assert name in answered.err
    assert fingerprint(tmp_path) == before


def test_query_says_who_locks_the_warehouse(
    ask: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process holds the warehouse, `query` exits with 5 and names the process."""
    from tests.behaviour.test_refusals import held

    monkeypatch.setenv("IMAGE_HISTORY_LOCK_WAIT", "0s")
    with WarehouseFile(tmp_path / "mine.duckdb").writing():
        pass
    with held(tmp_path / "mine.duckdb") as holder:
        answered = ask("query", "SELECT 1", "--warehouse", "mine.duckdb")
    assert answered.code == 5
    assert str(holder) in answered.err
