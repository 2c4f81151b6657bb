"""The SQL files have one statement each, a header that agrees with DuckDB, and values only as parameters."""

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
# A migration has many statements; `python -m tests.generate` writes the comments.
STATEMENTS = sorted(
    f"{path.parent.name}/{path.stem}"
    for path in folder().rglob("*.sql")
    if path.parent.name not in {"migrations", "comments"}
)
PARAMETER = re.compile(r"\$(\w+)")
TAKE_SQL = {"execute", "executemany", "extract_statements", "from_query", "query", "sql"}
FORMATTED = re.compile(r"\{|\}|%s|%\(|\?")


def comment(name: str) -> str:
    """The header: the comment lines at the top of the file."""
    lines = statement(name).splitlines()
    return "\n".join(lines[: next(n for n, line in enumerate(lines) if not line.startswith("--"))])


def code(name: str) -> str:
    """The statement without comments and without the contents of string constants."""
    lines = [line for line in statement(name).splitlines() if not line.lstrip().startswith("--")]
    return re.sub(r"'[^']*'", "''", "\n".join(lines))


def parsed(name: str) -> list[duckdb.Statement]:
    """The statements of a file, parsed by DuckDB."""
    return list(parser().extract_statements(statement(name)))


@cache
def parser() -> duckdb.DuckDBPyConnection:
    """One connection for all tests: to open DuckDB takes longer than to parse all files."""
    return duckdb.connect()


def from_relation(relation: str) -> str:
    """A query of all columns of a table, a view, or a macro with two times."""
    is_macro = f"views/{relation}" in names("views") and "MACRO" in statement(f"views/{relation}")
    return f"FROM {relation}" + ("('2026-01-01', '2026-01-02')" if is_macro else "")


def test_every_file_is_in_a_known_folder() -> None:
    """Every SQL file is in a direct subfolder of sql/."""
    assert {path.parent.parent for path in folder().rglob("*.sql")} == {folder()}
    assert len(STATEMENTS) > 50


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_has_one_statement(name: str) -> None:
    """A file that is no migration has exactly one statement, and DuckDB's shell would run it as it is."""
    (one,) = parsed(name)
    assert statement(name).endswith(";\n")
    assert one.query.strip().rstrip(";") == statement(name).strip().rstrip(";")
    # The shell takes such a line for a command of its own.
    assert [line for line in statement(name).splitlines() if line.startswith(".")] == []


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_says_what_it_is_needs_and_gives(name: str) -> None:
    """The header begins with What, followed by what this kind of file needs: Parameters, Returns or Columns."""
    top, kind = comment(name), name.partition("/")[0]
    assert top.startswith("-- What: ")
    assert all(line.startswith("-- ") for line in top.splitlines())
    required = {"views": ["Columns"], "queries": ["Parameters", "Columns"]}.get(
        kind, ["Parameters", "Returns"]
    )
    for entry in required:
        assert re.search(rf"(^-- |\. ){entry}: \S", top, re.MULTILINE), f"{name} lacks {entry}"
    assert header(statement(name))["What"]


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_names_the_parameters_that_duckdb_finds(name: str) -> None:
    """The header names exactly the parameters that DuckDB finds in the statement."""
    (one,) = parsed(name)
    assert set(PARAMETER.findall(comment(name))) == one.named_parameters


@pytest.mark.parametrize("name", STATEMENTS)
def test_file_has_no_place_for_text_to_be_formatted_in(name: str) -> None:
    """A statement has no placeholder for text: no braces, percent formats or question marks outside of strings."""
    assert FORMATTED.findall(code(name)) == []


@pytest.mark.parametrize("name", names("views"))
def test_view_is_named_as_its_file(name: str) -> None:
    """A view or macro has the name of its file."""
    found = re.search(r"CREATE OR REPLACE (VIEW|MACRO) (\w+)", statement(name))
    assert found is not None
    assert found[2] == name.partition("/")[2]


def test_every_view_can_be_made_in_the_order_of_the_files(tmp_path: Path) -> None:
    """A new warehouse has all views; each is empty, and has the columns that its header lists."""
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
    """A report on an empty warehouse returns the columns that its header names, in order."""
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


def calls_of_duckdb(tree: ast.Module) -> list[str]:
    """The methods of connections of DuckDB that are called with SQL, each with the SQL as it is written there."""
    return [
        f"{node.func.attr}({ast.unparse(node.args[0])})"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr in TAKE_SQL
        and re.search(r"\b(duck|duckdb|unlimited)$", ast.unparse(node.func.value))
    ]


def has_a_connection(tree: ast.Module) -> bool:
    """Whether a module uses DuckDB itself, or the connection inside of ours."""
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return "duckdb" in names or "duck" in attributes


def test_statements_are_run_by_name_in_two_modules_only() -> None:
    """Only two modules have a connection of DuckDB: one runs files by name, the other one what a user asks."""
    package = ROOT / "connector" / "image_history"
    trees = {
        str(path.relative_to(package)): ast.parse(path.read_text(encoding="utf-8"))
        for path in package.rglob("*.py")
    }
    found = {name: sorted(calls_of_duckdb(tree)) for name, tree in trees.items() if has_a_connection(tree)}
    assert found == {
        "warehouse/answering.py": ["execute(sql)", "extract_statements(question.sql)", "sql(sql)"],
        "warehouse/warehouse.py": [
            "execute(\"SELECT current_setting('memory_limit')\")",
            "execute('SET memory_limit = $ample')",
            "execute(statement(name))",
            "execute(statement(name))",
            "sql(statement(name))",
        ],
    }


def test_every_file_is_used() -> None:
    """Every file is named in the code, except views, queries, checks and audits, which are found by their folder."""
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
    """Every variable that a statement reads is set by exactly one file: a misspelt one would be null, silently."""
    made = Counter(name for file in STATEMENTS for name in re.findall(r"SET VARIABLE (\w+)", code(file)))
    read = {name for file in STATEMENTS for name in re.findall(r"getvariable\('(\w+)'\)", statement(file))}
    assert read == made.keys()
    assert set(made.values()) == {1}
