"""What is remembered of what AWS said that nobody knew, on rows made for it.

Of sql/load: drifted.sql, new_drift.sql and delete_drifted.sql.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import Row, Rows, instant, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

MET: Row = {"value": "calm", "occurrences": 3}
# What is like it but for one thing.
OTHERS: list[Row] = [
    {"operation": "DescribeImage"},
    {"member": "Images[].Weather"},
    {"value": "wild"},
    {"value": None},
]


def drifted(rows: Rows, *met: Row) -> list[dict[str, Any]]:
    """What is to be remembered."""
    rows.given("drift_arrow", *met)
    return rows.made("load/drifted", {"run_id": "run-2", "observed_at": instant(200)})


def test_what_was_never_met_is_new(rows: Rows) -> None:
    """From the load on that learned of it."""
    names = "operation member value first_seen_at occurrences etl_run_id is_new"
    assert picked(drifted(rows, MET), names) == [
        ("ListImages", "Images[].Mood", "calm", 200, 3, "run-2", True)
    ]


@pytest.mark.parametrize("value", ["calm", None], ids=["value", "member"])
def test_what_was_met_before_is_counted_on(rows: Rows, value: str | None) -> None:
    """Since it was first seen; a member that is unknown itself has no value."""
    rows.stored("schema_drift", {"value": value, "occurrences": 4})
    found = drifted(rows, {"value": value, "occurrences": 3})
    assert picked(found, "value first_seen_at occurrences etl_run_id is_new") == [
        (value, 30, 7, "run-2", False)
    ]


def test_what_only_a_part_of_a_run_has_met_is_new_to_the_run_that_counts_it(rows: Rows) -> None:
    """It is there already, without a count."""
    rows.stored("schema_drift", {**MET, "occurrences": 0})
    assert picked(drifted(rows, MET), "first_seen_at occurrences is_new") == [(30, 3, True)]


@pytest.mark.parametrize("other", OTHERS, ids=str)
def test_what_differs_in_one_thing_is_something_else(rows: Rows, other: Row) -> None:
    """It may be new though the other one is not."""
    rows.stored("schema_drift", {**MET, **other})
    found = drifted(rows, MET)
    assert picked(found, "value first_seen_at occurrences is_new") == [("calm", 200, 3, True)]


def test_run_tells_what_it_was_the_first_to_meet(rows: Rows) -> None:
    """In an order that is always the same."""
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
    """It alone."""
    taken: Row = {**MET, "value": value}
    others: list[Row] = [{**taken, **other} for other in OTHERS]
    rows.stored("schema_drift", *(row for row in others if row != taken))
    before = rows.all("schema_drift")
    rows.stored("schema_drift", taken)
    rows.given("drifted", {"value": value})
    rows.connection.run("load/delete_drifted")
    assert rows.all("schema_drift") == before
