"""Events are only ever added: no statement of the connector changes or deletes a stored event."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from image_history.warehouse.statements import folder

EVENTS = "image_version_events"
PACKAGE = Path(__file__).parents[2] / "connector" / "image_history"
FILES = sorted(
    str(path.relative_to(folder())) for path in folder().rglob("*.sql") if path.parent.name != "migrations"
)
COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
# The keywords that stand before the name of the table that a statement changes.
TARGETS = [
    ("delete", "from"),
    ("update",),
    ("truncate",),
    ("truncate", "table"),
    ("drop", "table"),
    ("drop", "table", "if", "exists"),
    ("alter", "table"),
    ("alter", "table", "if", "exists"),
    ("merge", "into"),
    ("create", "table"),
    ("create", "or", "replace", "table"),
    ("create", "table", "if", "not", "exists"),
    ("insert", "or", "replace", "into"),
    ("insert", "or", "ignore", "into"),
    ("copy",),
]


def words(sql: str) -> list[str]:
    """The statement's words in lower case, as DuckDB's tokenizer splits them, without comments and strings."""
    tokens = duckdb.tokenize(sql)
    ends = [start for start, _ in tokens[1:]] + [len(sql)]
    found = []
    for (start, kind), end in zip(tokens, ends, strict=True):
        text = COMMENT.sub(" ", sql[start:end]).strip()
        if kind not in {duckdb.token_type.comment, duckdb.token_type.string_const}:
            found += text.lower().replace('"', "").split()
    return found


def written(sql: str, *, insert: bool = False) -> set[str]:
    """The tables that a statement changes, empties, drops, creates or overwrites; with `insert`, also adds to."""
    said = words(sql)
    targets = [*TARGETS, ("insert", "into")] if insert else TARGETS
    return {
        said[at + len(target)]
        for target in targets
        for at in range(len(said) - len(target))
        if tuple(said[at : at + len(target)]) == target
    }


@pytest.mark.parametrize("name", FILES)
def test_statement_leaves_events_alone(name: str) -> None:
    """No file outside the migrations updates, deletes, replaces, drops or creates events; it may only insert them."""
    sql = (folder() / name).read_text(encoding="utf-8")
    assert EVENTS not in written(sql)
    if EVENTS in written(sql, insert=True):
        assert "conflict" not in words(sql)


def test_only_three_statements_add_events() -> None:
    """Only three statements add events: of changed rows, of changed rows with details, and of proved deletions."""
    adding = [
        name
        for name in FILES
        if EVENTS in written((folder() / name).read_text(encoding="utf-8"), insert=True)
    ]
    assert adding == [
        "load/insert_deletions.sql",
        "load/insert_detailed_events.sql",
        "load/insert_events.sql",
    ]


def test_migrations_after_the_first_leave_events_alone() -> None:
    """A migration may add a column to the events; it changes and deletes no event."""
    for path in sorted((folder() / "migrations").glob("*.sql")):
        sql = path.read_text(encoding="utf-8")
        made = {EVENTS} if path.stem == "001_tables" else set()
        said = " ".join(words(sql))
        assert written(sql) & {EVENTS} <= made or f"alter table {EVENTS} add column" in said
        assert not re.search(rf"(update|delete from|truncate|drop table) {EVENTS}", said)


def test_no_sql_in_python_names_events() -> None:
    """No string in the Python code both names the events table and updates, deletes, drops or truncates."""
    changing = re.compile(r"\b(update|delete|drop|truncate)\b", re.IGNORECASE)
    assert [text for text in strings() if EVENTS in text and changing.search(text)] == []


def strings() -> Iterator[str]:
    """Every string constant in the package's code."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


@pytest.mark.parametrize(
    "sql",
    [
        "DELETE FROM image_version_events WHERE true",
        "/* quietly */ delete /* now */\n-- a comment\nfrom image_version_events",
        "UPDATE image_version_events SET version = 1",
        'TRUNCATE "image_version_events"',
        "DROP TABLE IF EXISTS image_version_events",
        "INSERT OR REPLACE INTO image_version_events SELECT 1",
        "CREATE OR REPLACE TABLE image_version_events AS SELECT 1",
        "MERGE INTO image_version_events USING changed ON true WHEN MATCHED THEN DELETE",
        "WITH gone AS (SELECT 1) DELETE FROM image_version_events USING gone",
    ],
)
def test_a_statement_that_changes_events_would_be_seen(sql: str) -> None:
    """The search of the tests above finds a changing statement in any spelling."""
    assert EVENTS in written(sql)
