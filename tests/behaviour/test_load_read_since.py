"""What other runs have read since this one began: sql/load/read_since.sql, on hand-made rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

# A scope's row of another run: its list began at 150, and the last stream without a row was read at 170.
LIST: Row = {
    "etl_run_id": "newer",
    "image_name": None,
    "listing": "images",
    "others": "complete",
    "t0": 150,
    "t1": 170,
    "loaded_at": 200,
}
# A stream's row in that run, and its row in an older run.
TOLD: Row = {"etl_run_id": "newer", "t0": 160, "loaded_at": 200}
BEFORE: Row = {"etl_run_id": "older", "t0": 50, "loaded_at": 60}

# The row that is found for the stream, without the bounds of its T0.
READ: Row = {
    "etl_run_id": "newer",
    "account_id": "111122223333",
    "region": "eu-west-1",
    "image_name": "base",
    "list_outcome": "complete",
    "list_t0": 150,
    "outcome": "complete",
}


def since(rows: Rows, *coverage: Row) -> list[dict[str, Any]]:
    """The streams that other runs have read; this run began at 100, and at 101 in another scope."""
    rows.given("scopes_arrow", {"image_name": None}, {"image_name": None, "region": OTHER_REGION, "t0": 101})
    rows.stored("coverage", *coverage)
    return rows.made("load/read_since", {"run_id": "own"})


def outcomes(rows: Rows, *coverage: Row) -> list[str]:
    """The outcomes with which other runs have read streams."""
    return [row["outcome"] for row in since(rows, *coverage)]


def test_stream_of_which_a_run_tells_was_read_when_it_says(rows: Rows) -> None:
    """If a run has a row for a stream, both bounds are the T0 of that row."""
    assert since(rows, BEFORE, LIST, TOLD) == [{**READ, "t0": 160, "t1": 160}]


def test_stream_of_which_a_run_tells_nothing_was_read_as_before(rows: Rows) -> None:
    """A stream without a row in the run was read between the list of images and the last stream without a row."""
    assert since(rows, BEFORE, LIST) == [{**READ, "t0": 150, "t1": 170}]


@pytest.mark.parametrize("others", ["rested", None])
def test_stream_of_which_a_run_tells_nothing_may_have_rested(rows: Rows, others: str | None) -> None:
    """A stream without a row was not read if the other streams rested or the run was narrowed."""
    assert since(rows, BEFORE, {**LIST, "others": others}) == []


@pytest.mark.parametrize("others", ["complete", "rested", None])
def test_stream_of_which_a_run_tells_was_read_whatever_the_others_were(
    rows: Rows, others: str | None
) -> None:
    """A stream with a row in the run was read, even partially, whatever `others` says."""
    assert outcomes(rows, BEFORE, {**LIST, "others": others}, {**TOLD, "outcome": "partial"}) == ["partial"]


@pytest.mark.parametrize("outcome", ["partial", "rested", "skipped"])
def test_stream_that_was_not_read_whole_is_not_repeated(rows: Rows, outcome: str) -> None:
    """A stream without a row in the run is not read if its newest row before the list is not complete."""
    before = {**BEFORE, "etl_run_id": "between", "loaded_at": 70, "outcome": outcome}
    after = {**TOLD, "etl_run_id": "after", "loaded_at": 210}
    assert since(rows, BEFORE, before, LIST, after) == []


def test_what_is_told_after_a_list_is_not_of_its_run(rows: Rows) -> None:
    """A row that was loaded after a list does not change what the list's run has read."""
    assert outcomes(
        rows, BEFORE, LIST, {**TOLD, "etl_run_id": "after", "loaded_at": 210, "outcome": "failed"}
    ) == ["complete"]


@pytest.mark.parametrize("outcome", ["rested", "skipped"])
def test_stream_that_was_left_out_was_not_read(rows: Rows, outcome: str) -> None:
    """A stream with the outcome rested or skipped in the run's own row was not read."""
    assert since(rows, BEFORE, LIST, {**TOLD, "outcome": outcome, "t0": None}) == []


@pytest.mark.parametrize(("t0", "expected"), [(99, []), (100, []), (101, [101])])
def test_only_lists_that_began_later_are_looked_at(rows: Rows, t0: int, expected: list[int]) -> None:
    """Only lists that began after this run's first list count; a list of the same instant does not."""
    assert [row["list_t0"] for row in since(rows, {**LIST, "t0": t0}, TOLD)] == expected


def test_run_has_not_outrun_itself(rows: Rows) -> None:
    """The run's own rows are left out."""
    assert since(rows, {**LIST, "etl_run_id": "own"}, {**TOLD, "etl_run_id": "own"}) == []


def test_list_that_failed_is_told(rows: Rows) -> None:
    """A list that failed is returned for the streams that its run read nevertheless."""
    failed = {**LIST, "outcome": "denied", "others": None}
    assert [row["list_outcome"] for row in since(rows, failed, TOLD)] == ["denied"]


@pytest.mark.parametrize("where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}])
def test_list_says_nothing_of_another_scope(rows: Rows, where: Mapping[str, object]) -> None:
    """A run whose rows for this scope are not loaded yet is not used."""
    assert since(rows, BEFORE, {**LIST, **where}) == []


def test_every_run_and_stream_has_a_row(rows: Rows) -> None:
    """The result has one row for each run and stream."""
    newest = {**LIST, "etl_run_id": "newest", "t0": 250, "t1": 270, "loaded_at": 300}
    told = [{**TOLD, **where} for where in ELSEWHERE]
    found = since(rows, BEFORE, LIST, TOLD, newest, *told)
    assert [(row["etl_run_id"], row["image_name"], row["t0"]) for row in found] == [
        ("newer", "base", 160),
        ("newer", "other", 160),
        ("newest", "base", 250),
        ("newest", "other", 250),
    ]
