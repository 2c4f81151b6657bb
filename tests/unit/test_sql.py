"""The SQL files: one statement each, a header that says what DuckDB finds, values as parameters only."""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import cache
from pathlib import Path

import duckdb
import pytest

from image_history.warehouse.saved import header
from image_history.warehouse.statements import folder, names, statement
from image_history.warehouse.warehouse import WarehouseFile

ROOT = Path(__file__).parents[2]
# Migrations are many statements each, run once; the comments are written by `python -m tests.generate`.
STATEMENTS = sorted(
    f"{path.parent.name}/{path.stem}"
    for path in folder().rglob("*.sql")
    if path.parent.name not in {"migrations", "comments"}
)
PARAMETER = re.compile(r"\$(\w+)")
FORMATTED = re.compile(r"\{|\}|%s|%\(|\?")


def comment(name: str) -> str:
    """The header: the comment lines at the top."""
    lines = statement(name).splitlines()
    return "\n".join(lines[: next(n for n, line in enumerate(lines) if not line.startswith("--"))])


def code(name: str) -> str:
    """What is not comment, without the contents of texts."""
    lines = [line for line in statement(name).splitlines() if not line.lstrip().startswith("--")]
    return re.sub(r"'[^']*'", "''", "\n".join(lines))


def parsed(name: str) -> list[duckdb.Statement]:
    """The statements of a file, as DuckDB takes it apart."""
    return list(parser().extract_statements(statement(name)))


@cache
def parser() -> duckdb.DuckDBPyConnection:
    """One for all: a DuckDB takes longer to set up than all files to parse."""
    return duckdb.connect()


def from_relation(relation: str) -> str:
    """A query of all columns of a table, a view, or a macro that takes two instants."""
    is_macro = f"views/{relation}" in names("views") and "MACRO" in statement(f"views/{relation}")
    return f"FROM {relation}" + ("('2026-01-01', '2026-01-02')" if is_macro else "")


def test_every_file_is_in_a_known_folder() -> None:
    """No SQL lies about that nothing would find."""
    assert {path.parent.parent for path in folder().rglob("*.sql")} == {folder()}
    assert len(STATEMENTS) > 50


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_has_one_statement(name: str) -> None:
    """A file is one statement, ended by a semicolon, that runs as it is in DuckDB's shell."""
    assert len(parsed(name)) == 1
    assert statement(name).endswith(";\n")


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_says_what_it_is_needs_and_gives(name: str) -> None:
    """The header has What first, then what the kind of file owes: Parameters, Returns or Columns."""
    top, kind = comment(name), name.partition("/")[0]
    assert top.startswith("-- What: ")
    assert all(line.startswith("-- ") for line in top.splitlines())
    owed = {"views": ["Columns"], "queries": ["Parameters", "Columns"]}.get(kind, ["Parameters", "Returns"])
    for entry in owed:
        assert re.search(rf"(^-- |\. ){entry}: \S", top, re.MULTILINE), f"{name} lacks {entry}"
    assert header(statement(name))["What"]


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_names_the_parameters_that_duckdb_finds(name: str) -> None:
    """Every $name of the statement stands in the header, and no other."""
    (one,) = parsed(name)
    assert set(PARAMETER.findall(comment(name))) == one.named_parameters


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_has_no_place_for_text_to_be_formatted_in(name: str) -> None:
    """Nothing is spliced into a statement: no braces, no percent signs outside of texts, no question marks."""
    assert FORMATTED.findall(code(name)) == []


@pytest.mark.parametrize("name", names("views"))
def test_view_is_named_as_its_file(name: str) -> None:
    """What schema shows by the file's name can be asked for by it."""
    found = re.search(r"CREATE OR REPLACE (VIEW|MACRO) (\w+)", statement(name))
    assert found is not None
    assert found[2] == name.partition("/")[2]


def test_every_view_can_be_made_in_the_order_of_the_files(tmp_path: Path) -> None:
    """A new warehouse has all of them, and all views answer on empty tables, with the columns of their headers."""
    with WarehouseFile(tmp_path / "new.duckdb").writing() as connection:
        for name in names("views"):
            view = name.partition("/")[2]
            if "REPLACE VIEW" not in statement(name):
                continue
            columns = connection.duck.sql(f"FROM {view}").columns
            assert connection.duck.sql(f"FROM {view}").fetchall() == []
            listed = re.sub(r"\([^)]*\)", "", header(statement(name))["Columns"])
            if "those of" not in listed and "the key" not in listed:
                assert re.findall(r"\w+", listed.split(".")[0]) == columns


@pytest.mark.parametrize(
    "name", [name for name in STATEMENTS if name.startswith("reports/")], ids=lambda name: name.split("/")[1]
)
def test_report_returns_what_its_header_says(tmp_path: Path, name: str) -> None:
    """Columns that a header names are there, in their order, on an empty warehouse too."""
    (one,) = parsed(name)
    given: dict[str, object] = dict.fromkeys(one.named_parameters, "2026-01-01")
    given |= {key: 1 for key in ("limit", "version") if key in given}
    returns = re.sub(r"\([^)]*\)", "", header(statement(name))["Returns"]).split(";")[0]
    shared = re.match(r"the columns of (\w+)", returns)
    own = re.findall(r"\b[a-z]+(?:_[a-z]+)*\b", returns[shared.end() :] if shared else returns)
    with WarehouseFile(tmp_path / "new.duckdb").writing() as connection:
        columns = connection.table(name, given).column_names
        first = connection.duck.sql(from_relation(shared[1])).columns if shared else []
    assert columns == [*first, *own]


def test_statements_are_run_by_name_in_two_modules_only() -> None:
    """Whatever goes to DuckDB is a file of sql/, but for what a user asks; and none is an f-string."""
    running: set[str] = set()
    for path in (ROOT / "connector" / "image_history").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = node.func
                if called.attr in {"execute", "sql", "query"} and "duck" in ast.unparse(called.value):
                    running.add(str(path.relative_to(ROOT / "connector" / "image_history")))
                    assert not isinstance(node.args[0], ast.JoinedStr), f"{path}:{node.lineno}"
    assert running == {"warehouse/warehouse.py", "warehouse/answering.py"}


def test_every_file_is_used() -> None:
    """A statement that nobody runs is gone; views, queries, checks and migrations are run by their folder."""
    texts = "\n".join(
        path.read_text(encoding="utf-8") for path in (ROOT / "connector" / "image_history").rglob("*.py")
    )
    by_name = [
        name for name in STATEMENTS if not name.startswith(("views/", "queries/", "checks/", "audit/"))
    ]
    unused = [
        name
        for name in by_name
        if f'"{name}"' not in texts and f'"{name.removeprefix("reports/")}"' not in texts
    ]
    assert unused == []


def test_every_variable_that_is_read_is_set_by_one_file() -> None:
    """A misspelt variable is null without a word: what it bounds would not be bounded."""
    made = Counter(name for file in STATEMENTS for name in re.findall(r"SET VARIABLE (\w+)", code(file)))
    read = {name for file in STATEMENTS for name in re.findall(r"getvariable\('(\w+)'\)", statement(file))}
    assert read == made.keys()
    assert set(made.values()) == {1}
