"""What is stored of unknown members and values in AWS's answers, on hand-made rows.

Statements of sql/load: drifted.sql, new_drift.sql and delete_drifted.sql.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import Row, Rows, instant, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

MET: Row = {"value": "calm", "occurrences": 3}
# Rows that differ from MET in one column.
OTHERS: list[Row] = [
    {"operation": "DescribeImage"},
    {"member": "Images[].Weather"},
    {"value": "wild"},
    {"value": None},
]


def drifted(rows: Rows, *met: Row) -> list[dict[str, Any]]:
    """The rows to store, after a run has met these values."""
    rows.given("drift_arrow", *met)
    return rows.made("load/drifted", {"run_id": "run-2", "observed_at": instant(200)})


def test_what_was_never_met_is_new(rows: Rows) -> None:
    """A value that was never met is new, and is first seen by this load."""
    names = "operation member value first_seen_at occurrences etl_run_id is_new"
    assert picked(drifted(rows, MET), names) == [
        ("ListImages", "Images[].Mood", "calm", 200, 3, "run-2", True)
    ]


@pytest.mark.parametrize("value", ["calm", None], ids=["value", "member"])
def test_what_was_met_before_is_counted_on(rows: Rows, value: str | None) -> None:
    """A value that was met before keeps its first-seen time and is counted on; an unknown member has no value."""
    rows.stored("schema_drift", {"value": value, "occurrences": 4})
    found = drifted(rows, {"value": value, "occurrences": 3})
    assert picked(found, "value first_seen_at occurrences etl_run_id is_new") == [
        (value, 30, 7, "run-2", False)
    ]


def test_what_only_a_part_of_a_run_has_met_is_new_to_the_run_that_counts_it(rows: Rows) -> None:
    """A stored value without a count, of a part of a run, is new to the run that counts it."""
    rows.stored("schema_drift", {**MET, "occurrences": 0})
    assert picked(drifted(rows, MET), "first_seen_at occurrences is_new") == [(30, 3, True)]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_what_differs_in_one_thing_is_something_else(rows: Rows, other: Row) -> None:
    """A value is new if the stored one differs in operation, member or value."""
    rows.stored("schema_drift", {**MET, **other})
    found = drifted(rows, MET)
    assert picked(found, "value first_seen_at occurrences is_new") == [("calm", 200, 3, True)]


def test_run_tells_what_it_was_the_first_to_meet(rows: Rows) -> None:
    """A run reports only what is new, in a fixed order."""
    new: Row = {**MET, "is_new": True}
    known: Row = {**MET, "value": "known", "is_new": False}
    rows.given("drifted", {**new, "member": "Images[].Weather"}, known, {**new, "value": "wild"}, new)
    assert rows.asked("load/new_drift") == [
        {"operation": "ListImages", "member": member, "value": value, "occurrences": 3}
        for member, value in [
            ("Images[].Mood", "calm"),
            ("Images[].Mood", "wild"),
            ("Images[].Weather", "calm"),
        ]
    ]


@pytest.mark.parametrize("value", ["calm", None], ids=["value", "member"])
def test_row_that_is_written_anew_is_taken_away(rows: Rows, value: str | None) -> None:
    """The stored row that is to be written again is deleted, and no other row."""
    taken: Row = {**MET, "value": value}
    others: list[Row] = [{**taken, **other} for other in OTHERS]
    rows.stored("schema_drift", *(row for row in others if row != taken))
    before = rows.all("schema_drift")
    rows.stored("schema_drift", taken)
    rows.given("drifted", {"value": value})
    rows.connection.run("load/delete_drifted")
    assert rows.all("schema_drift") == before
