"""Version numbers of which nothing is known: sql/settle/gaps.sql on hand-made rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.behaviour.rows import ACCOUNT, ELSEWHERE, REGION, Row, Rows, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

FULL, NEWEST = {"listing": "full"}, {"listing": "incremental"}
# A stream without an unexplained number between its first and its highest number.
WHOLE: Row = {"first_version_seen": 3, "highest_version": 6, "unexplained": 0}


def landed(*numbers: int, **more: object) -> list[Row]:
    """Versions that the first listed stream has landed."""
    return [{"version": number, **more} for number in numbers]


def absent(first: int, last: int, **more: object) -> Row:
    """Numbers that are proved absent."""
    return {"first_version": first, "last_version": last, **more}


def gaps(rows: Rows, numbers: Sequence[Row], *listed: Row) -> list[tuple[int, int]]:
    """The first and the last number of each gap."""
    rows.listed(*listed)
    rows.given("landed_numbers", *numbers)
    return [(row["first_version"], row["last_version"]) for row in rows.asked("settle/gaps")]


@pytest.mark.parametrize("listing", [FULL, NEWEST], ids=lambda listing: listing["listing"])
@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([3], []),
        ([3, 4, 5], []),
        ([3, 5], [(4, 4)]),
        ([3, 7], [(4, 6)]),
        ([0, 2, 3, 7, 8], [(1, 1), (4, 6)]),
    ],
    ids=str,
)
def test_gap_is_between_two_numbers(
    rows: Rows, listing: Row, numbers: list[int], expected: list[tuple[int, int]]
) -> None:
    """A gap lies between two known numbers; numbers before the first or after the highest are no gap."""
    assert gaps(rows, landed(*numbers), listing) == expected


def test_number_is_known_by_what_was_landed_is_stored_or_is_absent(rows: Rows) -> None:
    """A number that was landed in any reading, is stored (even as deleted) or is proved absent is in no gap."""
    rows.stored("image_versions", {"version": 2}, {"version": 3, "etl_deleted_at": 40})
    rows.stored("absent_versions", absent(5, 7))
    numbers = [*landed(1, 4, 10), *landed(1, 8, etl_reading=2)]
    assert gaps(rows, numbers, {**FULL, "readings": 2}) == [(9, 9)]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_streams_with_one_name_have_their_own_gaps(rows: Rows, where: Row) -> None:
    """What is known of another stream's numbers explains no gap of this one."""
    rows.stored("image_versions", {**where, "version": 2})
    rows.stored("absent_versions", {**where, **absent(3, 3)})
    rows.stored("streams", {**where, **WHOLE, "first_version_seen": 2})
    rows.listed(FULL, {**NEWEST, **where})
    rows.given("landed_numbers", *landed(1, 7), *landed(4, 8, place=2))
    gap = {"account_id": ACCOUNT, "region": REGION, "image_name": "base"}
    expected = [
        {**gap, "first_version": 2, "last_version": 6},
        {**gap, **where, "first_version": 7, "last_version": 7},
    ]
    by_stream = sorted(expected, key=lambda row: (row["account_id"], row["region"], row["image_name"]))
    assert rows.asked("settle/gaps") == by_stream


@pytest.mark.parametrize(
    ("began", "expected"), [(None, []), (9, []), (10, []), (11, [(2, 2)])], ids=["never", "9", "10", "11"]
)
@pytest.mark.parametrize("known", ["landed", "stored"])
def test_earlier_life_of_the_image_explains_nothing(
    rows: Rows, known: str, began: int | None, expected: list[tuple[int, int]]
) -> None:
    """A version older than the image's present life explains no gap; one created at the start of that life does."""
    numbers = landed(1, 3, creation_time=50)
    if known == "stored":
        rows.stored("image_versions", {"version": 2, "creation_time": 10})
    else:
        numbers += landed(2, creation_time=10)
    assert gaps(rows, numbers, {**FULL, "life_began_at": began}) == expected


@pytest.mark.parametrize("known", ["landed", "stored"])
def test_gaps_begin_with_the_present_life(rows: Rows, known: str) -> None:
    """Gaps begin at the first number of the image's present life; numbers of an earlier life do not count."""
    numbers = landed(5, 7, creation_time=50)
    if known == "stored":
        rows.stored("image_versions", {"version": 1})
    else:
        numbers += landed(1)
    assert gaps(rows, numbers, {**FULL, "life_began_at": 50}) == [(6, 6)]


@pytest.mark.parametrize(
    ("then", "now", "explained"),
    [(40, 40, True), (40, 50, False), (None, None, True), (None, 50, False), (40, None, False)],
)
def test_absence_counts_for_the_image_in_which_it_was_proved(
    rows: Rows, then: int | None, now: int | None, explained: bool
) -> None:
    """An absence counts only for the creation of the image for which it was proved, not for a recreated image."""
    rows.stored("absent_versions", absent(2, 2, image_created_at=then))
    found = gaps(rows, landed(1, 3), {**FULL, "image_created_at": now})
    assert found == ([] if explained else [(2, 2)])


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ([], []),
        ([4], []),
        ([3, 6], []),
        ([7], []),
        ([8], [(7, 7)]),
        ([4, 9], [(7, 8)]),
        ([2], []),
        ([1], [(2, 2)]),
        ([0, 8], [(1, 2), (7, 7)]),
    ],
    ids=str,
)
def test_stream_without_an_unexplained_number_is_known_as_a_whole(
    rows: Rows, numbers: list[int], expected: list[tuple[int, int]]
) -> None:
    """If a stream has no unexplained number, its range counts as known without reading its stored versions."""
    rows.stored("streams", WHOLE)
    assert gaps(rows, landed(*numbers), NEWEST) == expected


@pytest.mark.parametrize(
    ("stream", "listing"),
    [
        pytest.param(WHOLE, FULL, id="listed-in-full"),
        pytest.param({**WHOLE, "unexplained": 2}, NEWEST, id="unexplained"),
        pytest.param({**WHOLE, "unexplained": None}, NEWEST, id="never-counted"),
    ],
)
def test_stream_that_is_not_known_as_a_whole_is_looked_at_number_by_number(
    rows: Rows, stream: Row, listing: Row
) -> None:
    """A stream that was listed in full or may have unexplained numbers is compared number by number."""
    rows.stored("streams", stream)
    rows.stored("image_versions", {"version": 3}, {"version": 6})
    assert gaps(rows, landed(8), listing) == [(4, 5), (7, 7)]
    assert gaps(rows, landed(4, 5, 7), listing) == []


def test_stream_without_a_number_is_known_by_what_was_landed(rows: Rows) -> None:
    """A stream without a known range has the gaps of its landed numbers, although it has no unexplained number."""
    rows.stored("streams", {"first_version_seen": None, "highest_version": None, "unexplained": 0})
    assert gaps(rows, landed(1, 3), NEWEST) == [(2, 2)]


def test_nothing_is_looked_for_where_no_number_is_new(rows: Rows) -> None:
    """A listing without a new number has no gap, even beside an absence outside its range and other listings."""
    rows.stored("streams", WHOLE)
    rows.stored("absent_versions", absent(1, 1))
    rows.stored("image_versions", *({"version": version} for version in (3, 4, 5, 6)))
    beside = ({**FULL, "image_name": "a"}, {**FULL, "image_name": "z"})
    assert gaps(rows, landed(4), NEWEST, *beside) == []
    assert gaps(rows, landed(4, 8), NEWEST, *beside) == [(2, 2), (7, 7)]


def test_image_that_aws_no_longer_knows_has_no_gaps(rows: Rows) -> None:
    """An image that AWS no longer knows has no gaps, whatever was landed of it before."""
    assert gaps(rows, landed(1, 3), {**FULL, "missing": True}) == []
