"""Which streams have every number of the reading before: sql/settle/agreeing.sql on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import ACCOUNT, ELSEWHERE, OTHER_ACCOUNT, OTHER_REGION, REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

STREAM = {"account_id": ACCOUNT, "region": REGION, "image_name": "base"}
TWICE: Row = {"readings": 2, "comparable": True}


def agreeing(rows: Rows, numbers: dict[int, tuple[int, ...]], *listed: Row) -> list[dict[str, object]]:
    """The streams that agree; `numbers` has the numbers that each reading of the first stream has landed."""
    rows.listed(*listed)
    landed = ((reading, version) for reading, versions in numbers.items() for version in versions)
    rows.given(
        "landed_numbers", *({"etl_reading": reading, "version": version} for reading, version in landed)
    )
    return rows.asked("settle/agreeing")


@pytest.mark.parametrize(
    ("numbers", "agrees"),
    [
        pytest.param({1: (1, 2), 2: (1, 2)}, True, id="the-same"),
        pytest.param({1: (1, 2), 2: (1, 2, 3)}, True, id="one-more"),
        pytest.param({1: (1, 2, 3), 2: (1, 2)}, False, id="one-less"),
        pytest.param({1: (1, 2), 2: (1, 3)}, False, id="another"),
        pytest.param({1: (), 2: ()}, True, id="empty"),
        pytest.param({1: (), 2: (1,)}, True, id="empty-before"),
        pytest.param({1: (1,), 2: ()}, False, id="empty-now"),
    ],
)
@pytest.mark.parametrize("listing", ["full", "incremental"])
def test_reading_agrees_that_has_every_number_of_the_one_before(
    rows: Rows, listing: str, numbers: dict[int, tuple[int, ...]], agrees: bool
) -> None:
    """A reading agrees if it has every number of the one before; it may have more, and two empty ones agree."""
    assert agreeing(rows, numbers, {**TWICE, "listing": listing}) == ([STREAM] if agrees else [])


@pytest.mark.parametrize(
    ("numbers", "agrees"),
    [
        pytest.param({1: (1, 2), 2: (1,), 3: (1,)}, True, id="gone-before"),
        pytest.param({1: (1,), 2: (1, 2), 3: (1,)}, False, id="gone-now"),
        pytest.param({1: (1, 2), 2: (1, 2), 3: (1,)}, False, id="gone-after-two"),
    ],
)
def test_only_the_last_two_readings_are_compared(
    rows: Rows, numbers: dict[int, tuple[int, ...]], agrees: bool
) -> None:
    """Only the reading before counts: a number that only an earlier reading had may be missing."""
    assert agreeing(rows, numbers, {**TWICE, "readings": 3}) == ([STREAM] if agrees else [])


@pytest.mark.parametrize(
    "mark", [{"readings": 1}, {"readings": 2, "comparable": False}], ids=["first", "broken-off"]
)
def test_reading_without_one_before_that_ended_agrees_with_none(rows: Rows, mark: Row) -> None:
    """A stream does not agree at its first reading, nor if the reading before broke off or was of another request."""
    assert agreeing(rows, {1: (1,), 2: (1,)}, mark) == []


def test_image_that_aws_no_longer_knows_agrees_with_nothing(rows: Rows) -> None:
    """An image that AWS no longer knows does not agree, because its listing was not read to its end."""
    assert agreeing(rows, {1: (1,), 2: (1,)}, {**TWICE, "missing": True}) == []


@pytest.mark.parametrize("where", ELSEWHERE)
def test_streams_with_one_name_agree_apart(rows: Rows, where: Row) -> None:
    """The numbers of another stream do not count: each stream is compared with its own reading before."""
    numbers = {1: (1, 2), 2: (1,)}
    assert agreeing(rows, numbers, {**TWICE, **where}, TWICE) == [STREAM]
    assert agreeing(rows, numbers, TWICE, {**TWICE, **where}) == [{**STREAM, **where}]


def test_live_versions_of_a_scope_are_those_of_its_streams(rows: Rows) -> None:
    """The live versions of a scope, against which the mass-delete breaker measures, are the sum of its streams."""
    rows.stored(
        "streams",
        {"image_name": "a", "live_versions": 3},
        {"image_name": "b", "live_versions": 0},
        {"image_name": "c", "live_versions": 4},
        {"region": OTHER_REGION, "live_versions": 5},
        {"account_id": OTHER_ACCOUNT, "live_versions": 0},
    )
    found = {
        (row["account_id"], row["region"]): row["live_versions"] for row in rows.asked("settle/live_by_scope")
    }
    assert found == {(ACCOUNT, REGION): 7, (ACCOUNT, OTHER_REGION): 5, (OTHER_ACCOUNT, REGION): 0}
