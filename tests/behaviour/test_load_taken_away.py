"""Which rows a load deletes to insert them again, and which runs it marks as interrupted, on hand-made rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, HERE, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

RUN: Row = {
    "started_at": 100,
    "finished_at": 120,
    "mode": "plain",
    **dict.fromkeys(("streams", "inserted", "updated", "unchanged", "reappeared", "retries", "throttles"), 0),
    **dict.fromkeys(("list_images_calls", "list_image_versions_calls"), 1),
    **dict.fromkeys(("describe_image_calls", "describe_image_version_calls", "bytes_received"), 0),
    **dict.fromkeys(("connector_version", "duckdb_version"), "1.0"),
    "host": "here",
}


def all_but(rows: Rows, table: str, gone: Row) -> list[dict[str, Any]]:
    """All rows of a table, without those that have these values."""
    return [row for row in rows.all(table) if not gone.items() <= row.items()]


@pytest.mark.parametrize("change", ["modified", "recreated", "reappeared"])
def test_changed_version_is_taken_away(rows: Rows, change: str) -> None:
    """The stored row of a changed version is deleted, and no other row."""
    rows.stored("image_versions", {}, {"version": 2}, *ELSEWHERE)
    rows.given("changed", {"etl_change": change}, {"version": 3, "etl_change": "created"})
    expected = all_but(rows, "image_versions", {**HERE, "version": 1})
    rows.connection.run("load/delete_changed_versions")
    assert rows.all("image_versions") == expected


@pytest.mark.parametrize(
    ("table", "written", "statement"),
    [
        ("images", "changed_images", "load/delete_changed_images"),
        ("streams", "streams_after", "load/delete_streams"),
    ],
    ids=["image", "stream"],
)
def test_what_is_written_anew_is_taken_away(rows: Rows, table: str, written: str, statement: str) -> None:
    """The stored row that is to be written again is deleted, and no other row."""
    rows.stored(table, {}, *ELSEWHERE)
    rows.given(written, {})
    expected = all_but(rows, table, HERE)
    rows.connection.run(statement)
    assert rows.all(table) == expected


def test_run_that_cannot_go_on_is_interrupted(rows: Rows) -> None:
    """A running run that cannot be continued is marked as interrupted; all other runs keep their outcome."""
    ended = ("complete", "partial", "held_back", "interrupted")
    rows.stored(
        "runs",
        {**RUN, "etl_run_id": "going on", "outcome": "running"},
        {**RUN, "etl_run_id": "lost", "outcome": "running"},
        *({**RUN, "etl_run_id": outcome, "outcome": outcome} for outcome in ended),
    )
    before = rows.all("runs")
    rows.connection.run("load/interrupt_runs", {"run_ids": ["going on", "complete", "unknown"]})
    assert rows.all("runs") == [
        {**row, "outcome": "interrupted"} if row["etl_run_id"] == "lost" else row for row in before
    ]
