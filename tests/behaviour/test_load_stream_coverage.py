"""What a run records of each stream: sql/load/stream_coverage.sql, on hand-made rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.behaviour.rows import ELSEWHERE, Row, Rows, picked, rows

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

SCOPE: Row = {"image_name": None, "listing": "images"}
# The values of a listing, and the stream's newest row with the same values.
SAID: Row = {"pages": 1, "rows": 7, "readings": 2, "phantoms": 3}
DETAILS: Row = {"details": "denied", "detailed": 4, "details_error": "not allowed"}
LISTED: Row = {**SAID, **DETAILS}
BEFORE: Row = {**LISTED, "deleted": 1, "watermark": 40, "t0": 90}


def covered(
    rows: Rows,
    *,
    listed: tuple[Row, ...] = (),
    before: tuple[Row, ...] = (),
    deleted: tuple[Row, ...] = (),
    detailed: tuple[Row, ...] = (),
    images: tuple[Row, ...] = (),
    scopes: tuple[Row, ...] = (SCOPE,),
) -> list[dict[str, Any]]:
    """The rows of `covered`."""
    rows.given("listed", *listed)
    rows.given("covered_before", *before)
    rows.given("deleted", *deleted)
    rows.given("detailed_arrow", *detailed)
    rows.given("scopes_arrow", *scopes)
    return rows.made("load/stream_coverage", rows.images(*images))


@pytest.mark.parametrize(
    ("listing", "outcome", "expected"),
    [
        ("full", "complete", 0),
        ("full", "gone", 0),
        ("incremental", "gone", 0),
        ("full", "partial", None),
        ("full", "held_back", None),
        ("incremental", "complete", None),
    ],
)
def test_none_is_deleted_only_where_deletions_were_looked_for(
    rows: Rows, listing: str, outcome: str, expected: int | None
) -> None:
    """Without deletions, `deleted` is 0 if the listing looked for them, else null; any deletions are counted."""
    looked: Row = {"listing": listing, "outcome": outcome}
    assert picked(covered(rows, listed=(looked,)), "listing outcome deleted") == [
        (listing, outcome, expected)
    ]
    gone: tuple[Row, ...] = ({"version": 1}, {"version": 3})
    assert picked(covered(rows, listed=(looked,), deleted=gone), "deleted") == [(2,)]


@pytest.mark.parametrize("where", ELSEWHERE, ids=str)
def test_deletions_and_watermarks_elsewhere_are_not_of_the_stream(rows: Rows, where: Row) -> None:
    """Deletions and watermarks of another account, region or image do not count."""
    rows.stored("streams", {**where, "watermark": 41}, {"watermark": 40})
    found = covered(rows, listed=({},), deleted=(where, {}, {"version": 2}))
    assert picked(found, "deleted watermark") == [(2, 40)]
    assert picked(covered(rows, listed=({},), deleted=(where,)), "deleted watermark") == [(0, 40)]


def test_listing_tells_where_the_stream_stands_after_it(rows: Rows) -> None:
    """A row has the stored watermark, which may be newer than the listing's; all other values are the listing's."""
    rows.stored("streams", {"watermark": 40})
    listed: Row = {**LISTED, "watermark": 35, "error_code": "Slow", "error_message": "It was slow."}
    found = covered(rows, listed=(listed,))
    assert picked(found, "pages rows readings phantoms details detailed details_error") == [
        (1, 7, 2, 3, "denied", 4, "not allowed")
    ]
    assert picked(found, "watermark t0 error_code error_message") == [(40, 100, "Slow", "It was slow.")]


@pytest.mark.parametrize("listing", ["full", "incremental"])
def test_listing_that_says_what_was_said_before_repeats_it(rows: Rows, listing: str) -> None:
    """A listing with the values of the newest row repeats it, even if it was read later."""
    rows.stored("streams", {"watermark": 40})
    listed: Row = {**LISTED, "listing": listing}
    before: Row = {**BEFORE, "listing": listing}
    again = covered(rows, listed=(listed,), before=(before,), deleted=({},))
    assert picked(again, "listing repeats") == [(listing, True)]


@pytest.mark.parametrize("listed", [LISTED, {"listing": "incremental"}], ids=["much", "little"])
def test_stream_of_which_nothing_was_ever_said_is_new(rows: Rows, listed: Row) -> None:
    """A stream without an earlier row repeats nothing, however little there is to record."""
    assert picked(covered(rows, listed=(listed,)), "image_name repeats") == [("base", False)]


@pytest.mark.parametrize(
    "differs",
    [
        {"outcome": "partial"},
        {"listing": "incremental"},
        {"pages": 2},
        {"rows": 8},
        {"readings": 3},
        {"phantoms": 4},
        {"deleted": 2},
        {"deleted": None},
        {"watermark": 39},
        {"watermark": None},
        {"details": "failed"},
        {"details": None},
        {"detailed": 5},
        {"detailed": None},
        {"details_error": "throttled"},
        {"details_error": None},
    ],
    ids=str,
)
def test_one_thing_that_was_said_otherwise_is_new(rows: Rows, differs: Row) -> None:
    """A listing that differs from the newest row in any one value does not repeat it."""
    rows.stored("streams", {"watermark": 40})
    found = covered(rows, listed=(LISTED,), before=({**BEFORE, **differs},), deleted=({},))
    assert picked(found, "repeats") == [(False,)]


@pytest.mark.parametrize("before", ["complete", "partial"])
def test_what_was_not_read_whole_is_said_each_time(rows: Rows, before: str) -> None:
    """A partial listing is always recorded, even if the newest row is partial, too."""
    rows.stored("streams", {"watermark": 40})
    found = covered(
        rows,
        listed=({**LISTED, "outcome": "partial"},),
        before=({**BEFORE, "outcome": before},),
        deleted=({},),
    )
    assert picked(found, "outcome repeats") == [("partial", False)]


@pytest.mark.parametrize(("listing", "expected"), [("full", False), ("incremental", True)])
def test_full_listing_of_more_than_one_page_is_said_each_time(
    rows: Rows, listing: str, expected: bool
) -> None:
    """A full listing of several pages is always recorded, as deletions rest on it; an incremental one may repeat."""
    rows.stored("streams", {"watermark": 40})
    larger: Row = {"listing": listing, "pages": 2}
    found = covered(rows, listed=({**LISTED, **larger},), before=({**BEFORE, **larger},), deleted=({},))
    assert picked(found, "pages repeats") == [(2, expected)]


@pytest.mark.parametrize("where", ELSEWHERE, ids=str)
def test_what_was_said_elsewhere_is_not_repeated(rows: Rows, where: Row) -> None:
    """The newest row of another account, region or image is not repeated."""
    rows.stored("streams", {"watermark": 40})
    found = covered(rows, listed=(LISTED,), before=({**BEFORE, **where},), deleted=({},), scopes=())
    assert picked(found, "image_name listing repeats") == [("base", "full", False)]


@pytest.mark.parametrize(
    ("before", "repeats"),
    [("complete", True), ("rested", True), ("partial", False), ("gone", False), ("skipped", False)],
)
def test_image_that_was_not_listed_rested(rows: Rows, before: str, repeats: bool) -> None:
    """An image whose versions were not listed has rested, which repeats a complete or rested row."""
    found = covered(rows, before=({**BEFORE, "outcome": before},), images=({},))
    assert picked(found, "image_name listing outcome repeats") == [("base", "none", "rested", repeats)]
    assert picked(found, "pages rows readings phantoms details detailed details_error") == [
        (0, 0, 0, 0, None, None, None)
    ]
    assert picked(found, "deleted watermark t0") == [(None, None, None)]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        ("complete", [("none", "skipped", True)]),
        ("rested", [("none", "skipped", True)]),
        ("partial", []),
        ("gone", []),
        ("skipped", []),
    ],
)
def test_image_that_is_not_on_the_list_is_skipped(
    rows: Rows, before: str, expected: list[tuple[str, str, bool]]
) -> None:
    """An image that is not on the list of images is skipped; that is recorded once, after it was read or rested."""
    found = covered(rows, before=({**BEFORE, "outcome": before},))
    assert picked(found, "listing outcome repeats") == expected


@pytest.mark.parametrize("where", ELSEWHERE, ids=str)
def test_image_is_on_the_list_of_its_own_scope(rows: Rows, where: Row) -> None:
    """The list, listings and details of another account, region or image do not count."""
    elsewhere: Row = {**where, **DETAILS}
    found = covered(rows, before=(BEFORE,), images=(where,), listed=(where,), detailed=(elsewhere,))
    idle = [row for row in found if row["listing"] == "none"]
    assert picked(idle, "image_name outcome details repeats") == [("base", "skipped", None, True)]


@pytest.mark.parametrize(
    "scopes",
    [
        (),
        ({**SCOPE, "outcome": "denied"},),
        ({**SCOPE, "account_id": "444455556666"},),
        ({**SCOPE, "region": "us-east-1"},),
    ],
    ids=["none", "denied", "another account", "another region"],
)
def test_nothing_is_said_of_images_where_their_list_was_not_read(rows: Rows, scopes: tuple[Row, ...]) -> None:
    """If the list of images was not read, nothing is recorded of its images."""
    assert covered(rows, before=(BEFORE,), images=({},), scopes=scopes) == []


def test_listed_image_has_one_row(rows: Rows) -> None:
    """An image whose versions were listed has one row, and did not rest."""
    found = covered(rows, listed=(LISTED,), before=(BEFORE,), images=({},))
    assert picked(found, "listing outcome") == [("full", "complete")]


def test_details_that_were_asked_at_rest_are_new(rows: Rows) -> None:
    """Details that were read while the image rested are new, even if it rested before."""
    found = covered(rows, before=({**BEFORE, "outcome": "rested"},), images=({},), detailed=(DETAILS,))
    assert picked(found, "outcome details detailed details_error repeats") == [
        ("rested", "denied", 4, "not allowed", False)
    ]
