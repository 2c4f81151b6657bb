"""What a listing must know of the lives of its image: sql/settle/lives.sql on hand-made rows."""

from __future__ import annotations

import pytest

from tests.behaviour.rows import ACCOUNT, ELSEWHERE, REGION, Row, Rows, instant, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

FULL, NEWEST = {"listing": "full"}, {"listing": "incremental"}
STREAM = {"account_id": ACCOUNT, "region": REGION, "image_name": "base"}


def milliseconds(seconds: int) -> int:
    """An instant in UTC epoch milliseconds, as findings have it."""
    return round(instant(seconds).timestamp() * 1000)


def recreated(seconds: int, **where: object) -> Row:
    """The result for an image that was recreated."""
    return {**STREAM, **where, "recreated_ms": milliseconds(seconds), "lives": 0, "known_until_ms": None}


def gone(lives: int, until: int | None, **where: object) -> Row:
    """The result for an image that AWS no longer knows, with the newest creation that is known of it."""
    known_until = None if until is None else milliseconds(until)
    return {**STREAM, **where, "recreated_ms": None, "lives": lives, "known_until_ms": known_until}


def lives(rows: Rows, *listed: Row, landed: tuple[Row, ...] = ()) -> list[Row]:
    """The results for the listed images."""
    rows.listed(*listed)
    rows.given("landed_numbers", *landed)
    return [*rows.asked("settle/lives")]


@pytest.mark.parametrize(
    ("began", "expected"),
    [(None, []), (9, []), (10, []), (11, [recreated(11)])],
    ids=["never", "9", "10", "11"],
)
def test_image_was_made_again_if_live_versions_are_older(
    rows: Rows, began: int | None, expected: list[Row]
) -> None:
    """An image was recreated if live versions are older than its present life; versions as old as it are its own."""
    rows.stored("image_versions", {"version": 1, "creation_time": 10}, {"version": 2, "creation_time": 30})
    assert lives(rows, {**FULL, "life_began_at": began}) == expected


def test_deleted_versions_do_not_tell_that_an_image_was_made_again(rows: Rows) -> None:
    """Deleted versions do not show that an image was recreated: they belong to an earlier life, which has ended."""
    deleted: Row = {"version": 1, "creation_time": 10, "etl_deleted_at": 15}
    rows.stored("image_versions", deleted, {"version": 2, "creation_time": 30})
    assert lives(rows, {**FULL, "life_began_at": 20}) == []


def test_only_a_full_listing_tells_that_an_image_was_made_again(rows: Rows) -> None:
    """Only a full listing, which has all versions, shows that an image was recreated."""
    rows.stored("image_versions", {})
    beside: Row = {**FULL, "image_name": "other"}
    assert lives(rows, {**NEWEST, "life_began_at": 20}, beside) == []


@pytest.mark.parametrize("listing", [FULL, NEWEST], ids=lambda listing: listing["listing"])
@pytest.mark.parametrize(
    ("image", "stored", "landed"),
    [(70, 50, 60), (50, 70, 60), (60, 50, 70)],
    ids=["image", "stored", "landed"],
)
def test_image_that_is_gone_ends_all_that_is_known_of_it(
    rows: Rows, listing: Row, image: int, stored: int, landed: int
) -> None:
    """The newest known creation is that of the image, of a stored version, even a deleted one, or of a landed one."""
    dead: Row = {"version": 2, "creation_time": stored, "etl_deleted_at": 80}
    rows.stored("image_versions", {"version": 1}, dead, {"version": 3, "creation_time": 20})
    mark: Row = {**listing, "missing": True, "image_created_at": image}
    numbers: tuple[Row, ...] = ({"version": 4, "creation_time": landed}, {"version": 5})
    assert lives(rows, mark, landed=numbers) == [gone(2, 70)]


def test_image_that_is_gone_without_a_stored_version(rows: Rows) -> None:
    """Without stored versions no live version ends; if nothing is known of the image, no creation is known."""
    assert lives(rows, {**FULL, "missing": True, "image_created_at": 15}) == [gone(0, 15)]
    assert lives(rows, {**FULL, "missing": True}) == [gone(0, None)]


def test_image_that_is_gone_was_not_made_again(rows: Rows) -> None:
    """An image that is gone does not count as recreated, although live versions are older than its last life."""
    rows.stored("image_versions", {})
    mark: Row = {**FULL, "missing": True, "image_created_at": 50, "life_began_at": 50}
    assert lives(rows, mark) == [gone(1, 50)]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_images_with_one_name_have_their_own_lives(rows: Rows, where: Row) -> None:
    """Versions that are stored or were landed for another stream do not count for this one."""
    rows.stored("image_versions", {**where, "creation_time": 10})
    rows.stored("image_versions", {"version": 1, "creation_time": 40}, {"version": 2, "creation_time": 45})
    found = lives(
        rows,
        {**FULL, "life_began_at": 40},
        {**FULL, **where, "life_began_at": 40},
        landed=({"version": 3, "creation_time": 90},),
    )
    assert found == [recreated(40, **where)]
    found = lives(
        rows,
        {**FULL, **where, "missing": True},
        {**FULL, "missing": True},
        landed=({"version": 3, "creation_time": 90},),
    )
    assert sorted(found, key=lambda row: str(row["lives"])) == [gone(1, 90, **where), gone(2, 45)]
