"""Which live versions a listing lacks: sql/settle/missing.sql on hand-made rows."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.behaviour.rows import ACCOUNT, ELSEWHERE, REGION, Row, Rows, instant, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

FULL, NEWEST = {"listing": "full"}, {"listing": "incremental"}


def milliseconds(seconds: int) -> int:
    """An instant in UTC epoch milliseconds, as suspects have it."""
    return round(instant(seconds).timestamp() * 1000)


def landed(*numbers: int, **more: object) -> list[Row]:
    """Versions that the first reading of the first listed stream has landed."""
    return [{"version": number, **more} for number in numbers]


def missing(rows: Rows, numbers: Sequence[Row], *listed: Row) -> list[tuple[int, bool]]:
    """The version of each suspect, and whether it is stored."""
    rows.listed(*listed)
    rows.given("landed_numbers", *numbers)
    return [(row["version"], row["stored"]) for row in rows.asked("settle/missing")]


def test_full_listing_lacks_what_is_stored_as_live(rows: Rows) -> None:
    """A full listing lacks the stored live versions that it has not landed; stored deleted ones are not missing."""
    rows.stored("image_versions", {"version": 1}, {"version": 2}, {"version": 3, "etl_deleted_at": 40})
    rows.listed(FULL)
    rows.given("landed_numbers", *landed(1))
    assert rows.asked("settle/missing") == [
        {
            "account_id": ACCOUNT,
            "region": REGION,
            "image_name": "base",
            "version": 2,
            "created_ms": milliseconds(10),
            "stored": True,
        }
    ]


def test_incremental_listing_may_lack_what_is_stored(rows: Rows) -> None:
    """An incremental listing may lack stored versions, because it ends at unchanged ones."""
    rows.stored("image_versions", {"version": 1}, {"version": 2})
    assert missing(rows, landed(2), NEWEST) == []


@pytest.mark.parametrize("listing", [FULL, NEWEST], ids=lambda listing: listing["listing"])
def test_listing_lacks_what_an_earlier_reading_has_landed(rows: Rows, listing: Row) -> None:
    """The last reading lacks every version that any earlier reading has landed and it has not."""
    first, second, third = landed(1, 2, 4), landed(2, 3, 4, etl_reading=2), landed(4, etl_reading=3)
    found = missing(rows, [*first, *second, *third], {**listing, "readings": 3})
    assert found == [(1, False), (2, False), (3, False)]


@pytest.mark.parametrize("listing", [FULL, NEWEST], ids=lambda listing: listing["listing"])
def test_listing_of_one_reading_lacks_nothing_that_it_has(rows: Rows, listing: Row) -> None:
    """A single reading cannot lack what it has landed, because there is no reading to compare it with."""
    assert missing(rows, landed(1, 2), listing) == []


@pytest.mark.parametrize(
    ("in_store", "in_landing", "newest"), [(10, 15, 15), (15, 10, 15)], ids=["landed", "stored"]
)
def test_suspect_is_of_its_newest_life(rows: Rows, in_store: int, in_landing: int, newest: int) -> None:
    """A suspect has the creation time of its newest life; it counts as stored if any of its lives is stored."""
    rows.stored("image_versions", {"creation_time": in_store})
    rows.listed({**FULL, "readings": 2})
    rows.given("landed_numbers", *landed(1, creation_time=in_landing))
    (suspect,) = rows.asked("settle/missing")
    assert (suspect["created_ms"], suspect["stored"]) == (milliseconds(newest), True)


@pytest.mark.parametrize(
    ("began", "is_suspect"),
    [(None, True), (9, True), (10, True), (11, False)],
    ids=["never", "9", "10", "11"],
)
@pytest.mark.parametrize("known", ["landed", "stored"])
def test_what_is_older_than_its_image_is_no_suspect(
    rows: Rows, known: str, began: int | None, is_suspect: bool
) -> None:
    """A version older than its image's present life is no suspect; one created at the start of that life is."""
    if known == "stored":
        rows.stored("image_versions", {"creation_time": 10})
    numbers = landed(1, creation_time=10) if known == "landed" else []
    found = missing(rows, numbers, {**FULL, "readings": 2, "life_began_at": began})
    assert found == ([(1, known == "stored")] if is_suspect else [])


def test_image_that_aws_no_longer_knows_has_no_suspects(rows: Rows) -> None:
    """An image that AWS no longer knows has no suspects, because it ended with all its versions."""
    rows.stored("image_versions", {})
    assert missing(rows, landed(2), {**FULL, "readings": 2, "missing": True}) == []


@pytest.mark.parametrize("where", ELSEWHERE)
def test_streams_with_one_name_have_their_own_suspects(rows: Rows, where: Row) -> None:
    """A version that another stream has is still missing in this one; suspects are sorted."""
    rows.stored("image_versions", {"version": 3}, {"version": 1}, {**where, "version": 2})
    rows.listed({**FULL, **where, "readings": 2}, FULL)
    here = [{"place": 2, "version": 3, "creation_time": 10}]
    rows.given("landed_numbers", *landed(4, 5), *landed(1, 5, etl_reading=2), *here)
    suspect = {"account_id": ACCOUNT, "region": REGION, "image_name": "base", "created_ms": milliseconds(10)}
    expected = [
        {**suspect, "version": 1, "stored": True},
        {**suspect, **where, "version": 2, "stored": True},
        {**suspect, **where, "version": 4, "stored": False},
    ]
    by_stream = sorted(expected, key=lambda row: (row["account_id"], row["region"], row["image_name"]))
    assert rows.asked("settle/missing") == by_stream
