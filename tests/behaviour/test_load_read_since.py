"""What other runs have read since this one began: sql/load/read_since.sql, on rows made for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

# The scope of another run, whose list of images began at 150; streams without a row were read, the last at 170.
LIST: Row = {
    "etl_run_id": "newer",
    "image_name": None,
    "listing": "images",
    "others": "complete",
    "t0": 150,
    "t1": 170,
    "loaded_at": 200,
}
# What that run says of a stream, and what an older one had said.
TOLD: Row = {"etl_run_id": "newer", "t0": 160, "loaded_at": 200}
BEFORE: Row = {"etl_run_id": "older", "t0": 50, "loaded_at": 60}

# What is found of the stream, but for the bounds of its T0.
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
    """The streams that others have read, for a run that began at 100, or a second later in another scope."""
    rows.given("scopes_arrow", {"image_name": None}, {"image_name": None, "region": OTHER_REGION, "t0": 101})
    rows.stored("coverage", *coverage)
    return rows.made("load/read_since", {"run_id": "own"})


def outcomes(rows: Rows, *coverage: Row) -> list[str]:
    """With which outcomes others have read streams."""
    return [row["outcome"] for row in since(rows, *coverage)]


def test_stream_of_which_a_run_tells_was_read_when_it_says(rows: Rows) -> None:
    """Which is known exactly."""
    assert since(rows, BEFORE, LIST, TOLD) == [{**READ, "t0": 160, "t1": 160}]


def test_stream_of_which_a_run_tells_nothing_was_read_as_before(rows: Rows) -> None:
    """Not before the list of images, and not after the last of those of which nothing is told."""
    assert since(rows, BEFORE, LIST) == [{**READ, "t0": 150, "t1": 170}]


@pytest.mark.parametrize("others", ["rested", None])
def test_stream_of_which_a_run_tells_nothing_may_have_rested(rows: Rows, others: str | None) -> None:
    """Or the run was asked for other images: it was not read."""
    assert since(rows, BEFORE, {**LIST, "others": others}) == []


@pytest.mark.parametrize("others", ["complete", "rested", None])
def test_stream_of_which_a_run_tells_was_read_whatever_the_others_were(
    rows: Rows, others: str | None
) -> None:
    """Also where it was not read whole."""
    assert outcomes(rows, BEFORE, {**LIST, "others": others}, {**TOLD, "outcome": "partial"}) == ["partial"]


@pytest.mark.parametrize("outcome", ["partial", "rested", "skipped"])
def test_stream_that_was_not_read_whole_is_not_repeated(rows: Rows, outcome: str) -> None:
    """The newest row before the list counts, and not one after it."""
    before = {**BEFORE, "etl_run_id": "between", "loaded_at": 70, "outcome": outcome}
    after = {**TOLD, "etl_run_id": "after", "loaded_at": 210}
    assert since(rows, BEFORE, before, LIST, after) == []


def test_what_is_told_after_a_list_is_not_of_its_run(rows: Rows) -> None:
    """It changes nothing of what that run had read."""
    assert outcomes(
        rows, BEFORE, LIST, {**TOLD, "etl_run_id": "after", "loaded_at": 210, "outcome": "failed"}
    ) == ["complete"]


@pytest.mark.parametrize("outcome", ["rested", "skipped"])
def test_stream_that_was_left_out_was_not_read(rows: Rows, outcome: str) -> None:
    """As the run says itself."""
    assert since(rows, BEFORE, LIST, {**TOLD, "outcome": outcome, "t0": None}) == []


@pytest.mark.parametrize(("t0", "expected"), [(99, []), (100, []), (101, [101])])
def test_only_lists_that_began_later_are_looked_at(rows: Rows, t0: int, expected: list[int]) -> None:
    """Later than the first of this run's, whenever its streams were read; in the same instant is not later."""
    assert [row["list_t0"] for row in since(rows, {**LIST, "t0": t0}, TOLD)] == expected


def test_run_has_not_outrun_itself(rows: Rows) -> None:
    """What is loaded of it is left out."""
    assert since(rows, {**LIST, "etl_run_id": "own"}, {**TOLD, "etl_run_id": "own"}) == []


def test_list_that_failed_is_told(rows: Rows) -> None:
    """With the streams that were read nevertheless."""
    failed = {**LIST, "outcome": "denied", "others": None}
    assert [row["list_outcome"] for row in since(rows, failed, TOLD)] == ["denied"]


@pytest.mark.parametrize("where", [{"account_id": OTHER_ACCOUNT}, {"region": OTHER_REGION}])
def test_list_says_nothing_of_another_scope(rows: Rows, where: Mapping[str, object]) -> None:
    """Nor a run of which this scope is not loaded yet."""
    assert since(rows, BEFORE, {**LIST, **where}) == []


def test_every_run_and_stream_has_a_row(rows: Rows) -> None:
    """One each."""
    newest = {**LIST, "etl_run_id": "newest", "t0": 250, "t1": 270, "loaded_at": 300}
    told = [{**TOLD, **where} for where in ELSEWHERE]
    found = since(rows, BEFORE, LIST, TOLD, newest, *told)
    assert [(row["etl_run_id"], row["image_name"], row["t0"]) for row in found] == [
        ("newer", "base", 160),
        ("newer", "other", 160),
        ("newest", "base", 250),
        ("newest", "other", 250),
    ]
