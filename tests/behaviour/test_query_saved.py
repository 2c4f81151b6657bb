"""The saved queries: each runs on a real warehouse, returns the correct rows, and has a complete header."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from image_history.warehouse.asking import asking
from image_history.warehouse.saved import header, saved, saved_queries
from image_history.warehouse.statements import folder
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.asking import HOSTILE, Desk, ask, built, rows_of

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

NAMES = [query.name for query in saved_queries()]


def answers(ask: Desk, *arguments: str) -> list[dict[str, Any]]:
    """The rows of a saved query."""
    answered = ask("query", *arguments, "--format", "jsonl")
    assert answered.code == 0, answered.err
    return [json.loads(line) for line in answered.lines]


def test_saved_queries_are_those_that_are_promised() -> None:
    """At least these queries exist, and every name is made of lower-case words with dashes between them."""
    assert {
        "changes-by-run", "failed-versions", "images-without-good-version", "newest-versions", "version-history"
    } <= set(NAMES)  # fmt: skip
    assert all(re.fullmatch("[a-z]+(-[a-z]+)*", name) for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_saved_query_has_the_parameters_and_columns_of_its_header(ask: Desk, name: str) -> None:
    """The header of a query names the parameters that DuckDB finds, and the columns in their order."""
    query = saved(name)
    assert query.what
    with WarehouseFile(ask.warehouse).reading() as connection:
        (parsed,) = connection.duck.extract_statements(query.sql)
    assert {parameter.name for parameter in query.parameters} == parsed.named_parameters
    given = {parameter.name: ask.image for parameter in query.parameters if parameter.default is None}
    with asking(WarehouseFile(ask.warehouse), query.question(given)) as answer:
        assert tuple(answer.schema.names) == query.columns
        list(answer)


@pytest.mark.parametrize("path", sorted((folder() / "queries").glob("*.sql")), ids=lambda path: path.stem)
def test_saved_query_starts_with_its_header(path: Any) -> None:
    """A query file starts with What, Parameters and Columns, and none of them is empty."""
    entries = header(path.read_text(encoding="utf-8"))
    assert list(entries) == ["What", "Parameters", "Columns"]
    assert all(entries.values())


def test_newest_versions_has_one_row_an_image(ask: Desk) -> None:
    """Each image has one row: its highest version, with the status at AWS."""
    newest: dict[str, Any] = {}
    for row in ask.world.truth():
        if row.image_name not in newest or row.version > newest[row.image_name].version:
            newest[row.image_name] = row
    rows = answers(ask, "@newest-versions")
    assert {row["image_name"]: (row["version"], row["image_version_status"]) for row in rows} == {
        name: (row.version, row.status) for name, row in newest.items()
    }
    assert len(rows) == len(newest)


def test_failed_versions_has_every_failure_with_its_reason(ask: Desk) -> None:
    """The query returns exactly the failed versions, each with AWS's own words as reason."""
    failed = {
        (row.image_name, row.version, row.failure_reason)
        for row in ask.world.truth()
        if row.status in {"CREATE_FAILED", "DELETE_FAILED"}
    }
    rows = answers(ask, "@failed-versions")
    assert {(row["image_name"], row["version"], row["failure_reason"]) for row in rows} == failed
    assert HOSTILE in {row["failure_reason"] for row in rows}


def test_version_history_has_every_state_from_when_to_when(ask: Desk) -> None:
    """A version that failed and recovered has three consecutive states, and the last one is open."""
    rows = answers(ask, "@version-history", "--param", f"image={ask.image}")
    states = [row for row in rows if row["version"] == 2]
    assert [row["image_version_status"] for row in states][1:] == ["CREATE_FAILED", "CREATED"]
    assert [row["valid_to"] for row in states] == [row["valid_from"] for row in states[1:]] + [None]
    assert (
        len(rows)
        == rows_of(
            ask.warehouse, f"SELECT count(*) FROM image_version_events WHERE image_name = '{ask.image}'"
        )[0][0]
    )
    assert answers(ask, "@version-history", "--param", "image=none") == []


def test_changes_by_run_counts_what_each_run_did(ask: Desk) -> None:
    """The latest run comes first; its counts are those in `runs`, and those of its events and of their images."""
    rows = answers(ask, "@changes-by-run")
    counts = ("outcome", "mode", "inserted", "updated", "deleted", "reappeared", "unchanged")
    runs = rows_of(
        ask.warehouse,
        f"SELECT etl_run_id, {', '.join(counts)} FROM runs ORDER BY started_at DESC, etl_run_id DESC",
    )
    assert len(rows) == 3
    assert [(row["etl_run_id"], *(row[name] for name in counts)) for row in rows] == runs
    counted = rows_of(
        ask.warehouse,
        "SELECT etl_run_id, count(*), count(DISTINCT image_name) FROM image_version_events GROUP BY etl_run_id",
    )
    assert sorted((row["etl_run_id"], row["events"], row["images_changed"]) for row in rows) == sorted(
        counted
    )
    assert all(row["inserted"] + row["updated"] == row["events"] for row in rows)
    assert [row["images_changed"] for row in rows[1:]] == [1, 6]
    assert answers(ask, "@changes-by-run", "--param", "runs=1") == rows[:1]


def test_images_without_good_version_names_the_broken_image(ask: Desk) -> None:
    """The query returns only the image of which every version failed, with its newest status and reason."""
    good = {row.image_name for row in ask.world.truth() if row.status == "CREATED"}
    broken = {row.image_name for row in ask.world.truth()} - good
    rows = answers(ask, "@images-without-good-version")
    assert {row["image_name"] for row in rows} == broken
    assert len(broken) == 1
    assert rows[0]["newest_status"] == "CREATE_FAILED"
    assert rows[0]["newest_failure_reason"] == "no base image"
