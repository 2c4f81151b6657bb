"""Coverage of details that are read late, and of the changes that they make, on hand-made rows.

Statements of sql/load: update_detailed_coverage.sql, insert_detailed_coverage.sql and add_counts.sql.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

RUN: Row = {"run_id": "run-1"}
NAMES = "etl_run_id account_id region image_name"
DETAILS: Row = {"details": "failed", "detailed": 4, "details_error": "throttled"}
SCOPE: Row = {"image_name": None, "listing": "images", "others": "rested"}
OTHER_SCOPES: tuple[Row, ...] = ({"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION})
RESTED: Row = {"listing": "none", "outcome": "rested", "pages": 0, "t0": None, **DETAILS}


def inserted(
    rows: Rows, *told: Row, detailed: tuple[Row, ...] = (DETAILS,), names: str = f"{NAMES} loaded_at"
) -> list[tuple[Any, ...]]:
    """The rows that the statement adds to coverage."""
    rows.given("stream_coverage", *told)
    rows.given("detailed_arrow", *detailed)
    before = rows.all("coverage")
    rows.connection.run("load/insert_detailed_coverage", RUN)
    after = rows.all("coverage")
    assert [row for row in after if row in before] == before
    return picked([row for row in after if row not in before], names)


ADDED = ("run-1", "111122223333", "eu-west-1", "base", 120)


def test_stream_whose_details_came_late_gets_a_row(rows: Rows) -> None:
    """A resting stream whose details are read late gets a row, with the load time of its scope's row."""
    rows.stored("coverage", {**SCOPE, "rested": 3, "hinted": 2, "streams": 1, "t1": 100})
    names = (
        f"{NAMES} loaded_at listing outcome details detailed details_error rested hinted streams others t1"
    )
    assert inserted(rows, RESTED, names=names) == [
        (*ADDED, "none", "rested", "failed", 4, "throttled", None, None, None, None, None)
    ]


def test_stream_that_has_a_row_in_the_run_gets_no_other(rows: Rows) -> None:
    """A stream that has a row in the run gets no second one."""
    rows.stored("coverage", SCOPE, {})
    assert inserted(rows, RESTED) == []


@pytest.mark.parametrize("other", [*ELSEWHERE, {"etl_run_id": "run-0"}], ids=str)
def test_row_of_another_stream_or_run_is_not_its_own(rows: Rows, other: Row) -> None:
    """The row of another stream or run is not the stream's own, and does not give the load time."""
    rows.stored("coverage", SCOPE, {**other, "loaded_at": 90})
    assert inserted(rows, DETAILS) == [ADDED]


@pytest.mark.parametrize("other", [*OTHER_SCOPES, {"etl_run_id": "run-0"}], ids=str)
def test_scope_is_loaded_by_its_own_row_of_the_run(rows: Rows, other: Row) -> None:
    """A stream gets a row only if the run's row of its scope is stored; rows of other scopes or runs do not count."""
    rows.stored("coverage", {**SCOPE, **other, "loaded_at": 90})
    assert inserted(rows, RESTED) == []
    rows.stored("coverage", SCOPE)
    assert inserted(rows, RESTED) == [ADDED]


@pytest.mark.parametrize("where", ELSEWHERE, ids=str)
def test_row_is_of_streams_whose_details_were_asked(rows: Rows, where: Row) -> None:
    """Only streams whose details were requested get a row."""
    rows.stored("coverage", SCOPE)
    assert inserted(rows, RESTED, detailed=({**DETAILS, **where},)) == []
    assert inserted(rows, RESTED, detailed=()) == []


@pytest.mark.parametrize(
    ("told", "others", "expected"),
    [
        (RESTED, None, []),
        (RESTED, "complete", [ADDED]),
        (DETAILS, None, [ADDED]),
        (DETAILS, "complete", [ADDED]),
    ],
    ids=["rested, narrowed", "rested", "read, narrowed", "read"],
)
def test_narrowed_run_says_nothing_of_what_it_did_not_list(
    rows: Rows, told: Row, others: str | None, expected: list[tuple[Any, ...]]
) -> None:
    """A narrowed run writes no row for a stream that it did not list."""
    rows.stored("coverage", {**SCOPE, "others": others})
    assert inserted(rows, told) == expected


def test_late_details_are_told_in_the_row_of_their_stream(rows: Rows) -> None:
    """Late details replace the details in their stream's row of the run; all else stays."""
    other: tuple[Row, ...] = (*ELSEWHERE, {"etl_run_id": "run-0"}, SCOPE)
    earlier: Row = {"details": "complete", "detailed": 2, "details_error": None}
    rows.stored("coverage", earlier, *({**earlier, **row} for row in other))
    before = rows.all("coverage")
    rows.given("detailed_arrow", DETAILS)
    rows.connection.run("load/update_detailed_coverage", RUN)
    own = dict(zip(NAMES.split(), ADDED, strict=False))
    expected = [{**row, **DETAILS} if own.items() <= row.items() else row for row in before]
    assert rows.all("coverage") == expected
    assert sum(row["details"] == "failed" for row in expected) == 1


def test_changes_by_late_details_are_added_to_what_was_done_in_the_scope(rows: Rows) -> None:
    """Changes by late details are added to `updated` in the scope's row of the run, and to no other count."""
    other: tuple[Row, ...] = (*OTHER_SCOPES, {"etl_run_id": "run-0"}, {"image_name": "base"})
    done: Row = {**SCOPE, "inserted": 5, "updated": 6, "unchanged": 7, "reappeared": 8, "deleted": 9}
    rows.stored("coverage", done, *({**done, **row} for row in other))
    before = rows.all("coverage")
    counted: Row = {"inserted": 10, "updated": 20, "unchanged": 30, "reappeared": 40, "deleted": 50}
    rows.given("counted_arrow", counted)
    rows.connection.run("load/add_counts", RUN)
    own = dict(zip(NAMES.split(), ("run-1", "111122223333", "eu-west-1", None), strict=True))
    expected = [{**row, "updated": 26} if own.items() <= row.items() else row for row in before]
    assert rows.all("coverage") == expected
    assert sum(row["updated"] == 26 for row in expected) == 1
