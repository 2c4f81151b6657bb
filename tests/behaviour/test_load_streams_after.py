"""What is stored of a stream after a run: sql/load/streams_after.sql, on hand-made rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

# A stored stream of one page, and a listing of it without anything new.
KNOWN: Row = {
    "watermark": 40,
    "last_full_at": 90,
    "highest_version": 7,
    "first_version_seen": 2,
    "live_versions": 5,
    "image_created_at": 3,
    "life_began_at": 2,
    "unexplained": 1,
}
SAME: Row = {"watermark": 40, "image_created_at": 3, "life_began_at": 2}
ALL = " ".join(KNOWN)
INCREMENTAL: Row = {**SAME, "listing": "incremental"}

# Existing numbers, ranges that are proved absent, and how many numbers between are neither.
ABSENCES: list[tuple[tuple[int, ...], list[tuple[int, int]], int]] = [
    ((4, 5, 8), [(2, 3)], 2),
    ((4, 5, 8), [(2, 4)], 2),
    ((4, 5, 8), [(8, 12)], 2),
    ((4, 5, 8), [(9, 12)], 2),
    ((4, 5, 8), [(1, 12)], 0),
    ((1, 4, 7), [(2, 3), (2, 3)], 2),
    ((1, 4, 7), [(2, 5), (3, 5)], 1),
    ((1, 4, 7), [(2, 6), (3, 3)], 0),
    ((1, 4, 7), [(2, 6), (3, 3), (5, 6)], 0),
    ((1, 4, 7), [(2, 2), (3, 5)], 1),
    ((1, 2, 3, 6), [(2, 3)], 2),
    ((1, 2, 3, 6), [(2, 4)], 1),
]


def after(
    rows: Rows, *listed: Row, touched: tuple[Row, ...] = (), absent: tuple[Row, ...] = ()
) -> list[dict[str, Any]]:
    """The rows of streams that must be written."""
    rows.given("listed", *listed)
    rows.given("touched", *touched)
    rows.stored("absent_versions", *absent)
    return rows.made("load/streams_after")


def test_stream_that_was_never_listed_is_known_from_now_on(rows: Rows) -> None:
    """A stream that was never listed gets a row, even if nothing of it could be read."""
    unread = after(rows, {"listing": "incremental", "outcome": "partial", "t0": None})
    assert picked(unread, f"image_name {ALL} held_back") == [
        ("base", None, None, None, None, 0, None, None, None, None)
    ]


def test_whole_listing_makes_a_stream_known(rows: Rows) -> None:
    """A complete full listing of a stream without versions is stored, too."""
    found = after(rows, SAME)
    assert picked(found, ALL) == [(40, 100, None, None, 0, 3, 2, None)]


@pytest.mark.parametrize(
    "listed",
    [
        SAME,
        {**SAME, "watermark": None},
        {**SAME, "watermark": 39},
        {**SAME, "listing": "incremental", "pages": 2},
        {**SAME, "outcome": "partial", "pages": 2},
        {"listing": "incremental", "image_created_at": 4, "life_began_at": 4},
        {"outcome": "partial", "image_created_at": 4, "life_began_at": 4},
    ],
    ids=str,
)
def test_listing_that_tells_nothing_new_writes_nothing(rows: Rows, listed: Row) -> None:
    """A listing of one page without new values writes nothing; only a complete full one changes the image's life."""
    rows.stored("streams", KNOWN)
    assert after(rows, listed) == []


@pytest.mark.parametrize(
    "differs",
    [{"watermark": 41}, {"image_created_at": 4}, {"life_began_at": 3}, {"life_began_at": None}],
    ids=str,
)
def test_one_thing_that_is_new_is_written(rows: Rows, differs: Row) -> None:
    """Any one new value is written, with the time of the full listing."""
    rows.stored("streams", KNOWN)
    expected = {**KNOWN, "last_full_at": 100, **differs}
    assert picked(after(rows, {**SAME, **differs}), ALL) == [tuple(expected.values())]


@pytest.mark.parametrize(("before", "expected"), [(90, 100), (110, 110), (None, 100)])
def test_each_full_listing_of_more_than_one_page_is_noted(
    rows: Rows, before: int | None, expected: int
) -> None:
    """A full listing of several pages is always written; a run that is loaded late does not set its time back."""
    rows.stored("streams", {**KNOWN, "last_full_at": before})
    found = after(rows, {**SAME, "pages": 2})
    assert picked(found, ALL) == [tuple({**KNOWN, "last_full_at": expected}.values())]


@pytest.mark.parametrize(("before", "told", "expected"), [(50, 45, 50), (None, 45, 45), (50, None, 50)])
def test_watermark_never_goes_back(
    rows: Rows, before: int | None, told: int | None, expected: int | None
) -> None:
    """A run that is loaded late does not set the watermark back."""
    rows.stored("streams", {**KNOWN, "watermark": before})
    found = after(rows, {**SAME, "watermark": told, "pages": 2})
    assert picked(found, "watermark") == [(expected,)]


@pytest.mark.parametrize("listed", [INCREMENTAL, {**SAME, "outcome": "partial"}], ids=["newer", "broken off"])
def test_what_is_not_a_whole_listing_tells_of_changes_alone(rows: Rows, listed: Row) -> None:
    """An incremental or partial listing changes the watermark, but neither last_full_at nor the image's life."""
    rows.stored("streams", KNOWN)
    found = after(rows, {**listed, "watermark": 41, "image_created_at": 4, "life_began_at": 4})
    assert picked(found, ALL) == [tuple({**KNOWN, "watermark": 41}.values())]


@pytest.mark.parametrize("stream", [{}, *ELSEWHERE], ids=str)
def test_versions_are_counted_where_they_changed(rows: Rows, stream: Row) -> None:
    """Versions are counted only for the touched stream, and only its own."""
    rows.stored("streams", KNOWN, *({**KNOWN, **where} for where in ELSEWHERE))
    for where in ({}, *ELSEWHERE):
        rows.stored("image_versions", *({**where, "version": version} for version in (2, 4, 6)))
    gone: Row = {"version": 9, "etl_deleted_at": 80, "etl_delete_evidence": "absent_twice"}
    rows.stored("image_versions", {**stream, **gone})
    found = after(rows, SAME, *({**SAME, **where} for where in ELSEWHERE), touched=(stream,))
    assert picked(found, "account_id region image_name") == [
        tuple({"account_id": "111122223333", "region": "eu-west-1", "image_name": "base", **stream}.values())
    ]
    names = "live_versions first_version_seen highest_version unexplained"
    assert picked(found, names) == [(3, 2, 9, 4)]


def test_stream_without_stored_versions_keeps_its_numbers(rows: Rows) -> None:
    """A touched stream without stored versions keeps its numbers."""
    rows.stored("streams", KNOWN)
    found = after(rows, {**SAME, "watermark": 41}, touched=({},))
    assert picked(found, "live_versions first_version_seen highest_version unexplained") == [(5, 2, 7, 1)]


def test_versions_of_an_earlier_life_explain_nothing_of_this_one(rows: Rows) -> None:
    """Versions from before the life began count as live, but not in its numbers; one from its beginning counts."""
    rows.stored(
        "image_versions",
        {"version": 1, "creation_time": 9},
        {"version": 3, "creation_time": 10},
        {"version": 4, "creation_time": 9},
        {"version": 5, "creation_time": 11},
        {"version": 8, "creation_time": 9},
    )
    found = after(rows, {**SAME, "image_created_at": 10, "life_began_at": 10}, touched=({},))
    names = "live_versions first_version_seen highest_version unexplained life_began_at"
    assert picked(found, names) == [(5, 3, 5, 1, 10)]


def test_every_version_is_of_this_life_where_no_other_is_known(rows: Rows) -> None:
    """If the life's beginning is unknown, every version counts, even one that is older than the image."""
    rows.stored("image_versions", {"version": 1, "creation_time": 1}, {"version": 4})
    found = after(rows, {**SAME, "life_began_at": None}, touched=({},))
    names = "live_versions first_version_seen highest_version unexplained"
    assert picked(found, names) == [(2, 1, 4, 2)]


@pytest.mark.parametrize(
    ("created", "absent", "expected"),
    [
        (3, {"image_created_at": 3}, 4),
        (None, {"image_created_at": None}, 4),
        (3, {"image_created_at": 2}, 6),
        (3, {"image_created_at": None}, 6),
        (None, {"image_created_at": 3}, 6),
        *((3, {"image_created_at": 3, **where}, 6) for where in ELSEWHERE),
    ],
    ids=str,
)
def test_numbers_that_are_proved_absent_are_explained(
    rows: Rows, created: int | None, absent: Row, expected: int
) -> None:
    """Absent numbers are explained only for the same stream and the same creation time of the image."""
    rows.stored("image_versions", {"version": 1}, {"version": 8})
    never: Row = {"first_version": 3, "last_version": 4, **absent}
    listed: Row = {**SAME, "image_created_at": created, "life_began_at": None}
    assert picked(after(rows, listed, touched=({},), absent=(never,)), "unexplained") == [(expected,)]


def test_all_ranges_of_absent_numbers_count_and_there_are_never_fewer_than_none(rows: Rows) -> None:
    """Several ranges of absent numbers add up; numbers that appear later never make the count negative."""
    rows.stored("image_versions", {"version": 1}, {"version": 6})
    never: Row = {"image_created_at": 3}
    ranges = ({"first_version": 2, "last_version": 2}, {"first_version": 4, "last_version": 5})
    found = after(rows, SAME, touched=({},), absent=tuple({**never, **each} for each in ranges))
    assert picked(found, "unexplained") == [(1,)]
    rows.stored("image_versions", {"version": 2}, {"version": 3})
    assert picked(after(rows, SAME, touched=({},)), "unexplained") == [(0,)]
    rows.stored("image_versions", {"version": 4})
    assert picked(after(rows, SAME, touched=({},)), "unexplained") == [(0,)]


@pytest.mark.parametrize(
    "listed",
    [
        SAME,
        {**SAME, "outcome": "gone"},
        {**SAME, "listing": "incremental", "outcome": "gone"},
    ],
    ids=["read whole", "gone", "gone since"],
)
def test_nothing_is_held_back_any_more_of_what_was_read_whole(rows: Rows, listed: Row) -> None:
    """A complete full listing, or an image that is gone, clears the held-back count."""
    rows.stored("streams", {**KNOWN, "held_back": 5})
    assert picked(after(rows, listed), "held_back") == [(None,)]


@pytest.mark.parametrize("listed", [INCREMENTAL, {**SAME, "outcome": "partial"}], ids=["newer", "broken off"])
def test_what_is_held_back_stays_so_until_it_is_looked_for(rows: Rows, listed: Row) -> None:
    """An incremental or partial listing keeps the held-back count, and writes it only with other new values."""
    rows.stored("streams", {**KNOWN, "held_back": 5})
    assert after(rows, listed) == []
    assert picked(after(rows, {**listed, "watermark": 41}), "held_back") == [(5,)]


@pytest.mark.parametrize("before", [None, 5])
def test_breaker_holds_back_what_the_newest_listing_lacks(rows: Rows, before: int | None) -> None:
    """The newest listing sets the held-back count, whatever it was; an equal count is not written."""
    rows.stored("streams", {**KNOWN, "held_back": before})
    held: Row = {**SAME, "outcome": "held_back"}
    found = after(rows, {**held, "held_back": 6})
    assert picked(found, f"{ALL} held_back") == [(*KNOWN.values(), 6)]
    assert after(rows, {**held, "held_back": before}) == []


@pytest.mark.parametrize("where", ELSEWHERE, ids=str)
def test_streams_with_one_name_are_apart(rows: Rows, where: Row) -> None:
    """What is stored of another account, region or image is not used."""
    rows.stored("streams", {**KNOWN, **where})
    assert picked(after(rows, INCREMENTAL), ALL) == [(40, None, None, None, 0, None, None, None)]


@pytest.mark.parametrize(("numbers", "absent", "unexplained"), ABSENCES, ids=str)
def test_absence_explains_a_number_once_and_where_it_lacks(
    rows: Rows, numbers: tuple[int, ...], absent: list[tuple[int, int]], unexplained: int
) -> None:
    """A number is explained once, and only if it lies between the existing numbers and does not exist."""
    rows.stored("image_versions", *({"version": number} for number in numbers))
    ranges = [{"first_version": first, "last_version": last, "image_created_at": 3} for first, last in absent]
    others = [{**each, **where} for each in ranges for where in ELSEWHERE]
    found = after(rows, {**INCREMENTAL, "outcome": "partial"}, touched=({},), absent=(*ranges, *others))
    assert picked(found, "unexplained") == [(unexplained,)]


def test_absence_explains_the_number_of_a_version_of_an_earlier_life(rows: Rows) -> None:
    """An absent range explains the number of a version from an earlier life."""
    rows.stored("image_versions", {"version": 4}, {"version": 6, "creation_time": 9}, {"version": 8})
    absent = {"first_version": 5, "last_version": 7, "image_created_at": 10}
    found = after(
        rows, {**SAME, "image_created_at": 10, "life_began_at": 10}, touched=({},), absent=(absent,)
    )
    assert picked(found, "live_versions unexplained") == [(3, 0)]


def test_image_that_has_nothing_but_an_earlier_life_lacks_nothing(rows: Rows) -> None:
    """If all versions are from an earlier life, the stream has no numbers, and none is unexplained."""
    rows.stored("image_versions", {"version": 4, "creation_time": 9}, {"version": 8, "creation_time": 9})
    absent = {"first_version": 5, "last_version": 7, "image_created_at": 10}
    found = after(
        rows, {**SAME, "image_created_at": 10, "life_began_at": 10}, touched=({},), absent=(absent,)
    )
    assert picked(found, "first_version_seen highest_version unexplained") == [(None, None, 0)]
