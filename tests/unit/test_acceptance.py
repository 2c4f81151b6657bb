from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_history.aws.bodies import ImageVersion, epoch_ms
from image_history.errors import AccessDeniedError
from image_history.listing.pages import PageRead, advance, begin, ended, read_again, watermark_ms
from image_history.model import (
    Checkpoint,
    ListingKind,
    ListingRequest,
    Outcome,
    PlannedStream,
    Scope,
    Stream,
)
from tests.unit.fakes import DATE_MS, version

STREAM = Stream(Scope("111122223333", "us-east-1"), "base")
T0_MS = DATE_MS - 1000
HOUR_MS = 3_600_000
FULL = begin(PlannedStream(STREAM, ListingRequest(ListingKind.FULL, 3)))
SINCE_MS = 50_000
NEWEST_FIRST = begin(PlannedStream(STREAM, ListingRequest(ListingKind.INCREMENTAL, 3, SINCE_MS)))


def numbered(*numbers: int) -> list[ImageVersion]:
    """Versions with these numbers."""
    return [version(number) for number in numbers]


def changed(*changes: tuple[int, int]) -> list[ImageVersion]:
    """Versions from pairs of number and second of the last change."""
    return [version(number, modified_ms=second * 1000) for number, second in changes]


def read(
    checkpoint: Checkpoint, rows: Sequence[ImageVersion], token: str | None, date_ms: int = DATE_MS
) -> PageRead:
    """Read a page that must not contradict the pages before it."""
    step = advance(checkpoint, rows, token, date_ms=date_ms)
    assert step is not None
    return step


def test_full_listing_ends_without_a_token_only() -> None:
    """The listing continues after a short or empty page with a token, and ends with the page without one."""
    current = FULL
    pages = [numbered(1, 2, 3), [], numbered(4), *[[]] * 200, numbered(5)]
    for number, rows in enumerate(pages):
        current = read(current, rows, f"token {number}").checkpoint
        assert (current.readable, current.next_token) == (True, f"token {number}")
    end = read(current, numbered(9), None).checkpoint
    assert (end.readable, end.next_token, end.outcome) == (False, None, Outcome.READ)
    assert (end.pages, end.rows, end.lowest_version, end.highest_version) == (205, 6, 1, 9)


def test_listing_without_rows_is_read_to_its_end() -> None:
    """An image without versions is listed in one page, and its listing moves no watermark."""
    end = read(FULL, [], None).checkpoint
    assert (end.readable, end.rows, end.highest_version, end.t0_ms) == (False, 0, None, T0_MS)
    assert watermark_ms(replace(end, outcome=Outcome.COMPLETE)) is None


def test_tail_is_empty_where_the_last_page_of_some_holds_nothing() -> None:
    """A listing has an empty tail only if its last page is empty and an earlier page has rows."""
    some = read(FULL, numbered(1), "a").checkpoint
    between = read(some, [], "b").checkpoint
    assert [each.empty_tail for each in (some, between)] == [False, False]
    assert read(between, [], None).checkpoint.empty_tail
    assert not read(between, numbered(2), None).checkpoint.empty_tail
    assert not read(FULL, [], None).checkpoint.empty_tail


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((1, 3, 2), ()),
        ((1, 1), ()),
        ((3, 2, 1), ()),
        ((1, 2), (2, 3)),
        ((1, 2), (1,)),
        ((4, 5), (3,)),
        ((1, 2), (4, 3)),
    ],
)
def test_full_listing_out_of_order_is_a_contradiction(
    first: tuple[int, ...], second: tuple[int, ...]
) -> None:
    """If numbers repeat or decrease, within a page or across pages, the listing proves nothing."""
    if not second:
        assert advance(FULL, numbered(*first), None, date_ms=DATE_MS) is None
        return
    current = read(FULL, numbered(*first), "token").checkpoint
    assert advance(current, numbered(*second), None, date_ms=DATE_MS) is None


def test_order_holds_across_empty_pages() -> None:
    """An empty page between two others does not end the check of the order."""
    current = read(read(FULL, numbered(5), "a").checkpoint, [], "b").checkpoint
    assert advance(current, numbered(4), None, date_ms=DATE_MS) is None


def test_incremental_listing_stops_at_its_start() -> None:
    """The first row older than the start ends the listing, even with a token; rows from there on are left out."""
    rows = changed((7, 60), (9, 50), (8, 49), (6, 48))
    step = read(NEWEST_FIRST, rows, "token")
    assert [row.Version for row in step.rows] == [7, 9]
    assert (step.checkpoint.readable, step.checkpoint.next_token) == (False, None)
    assert (step.checkpoint.rows, step.checkpoint.newest_ms) == (2, 60_000)


def test_incremental_listing_goes_on_at_its_start() -> None:
    """A row changed exactly at the start belongs to the listing, and the listing continues until an older row."""
    step = read(NEWEST_FIRST, changed((7, 60), (9, 50)), "token")
    assert len(step.rows) == 2
    assert step.checkpoint.readable
    end = read(step.checkpoint, changed((1, 50), (2, 10)), "more")
    assert [row.Version for row in end.rows] == [1]
    assert not end.checkpoint.readable


@pytest.mark.parametrize(
    "pages",
    [
        [changed((1, 60), (2, 61))],
        [changed((1, 60), (1, 55))],
        [changed((1, 60)), changed((2, 61))],
        [changed((1, 60)), [], changed((2, 61))],
        [changed((1, 60), (2, 40), (3, 55))],
    ],
)
def test_incremental_listing_out_of_order_is_a_contradiction(pages: list[list[ImageVersion]]) -> None:
    """A row that is newer than the row before it, or a repeated number in a page, proves nothing."""
    current = NEWEST_FIRST
    for number, rows in enumerate(pages[:-1]):
        current = read(current, rows, f"token {number}").checkpoint
    assert advance(current, pages[-1], "token", date_ms=DATE_MS) is None


def test_incremental_listing_takes_ties() -> None:
    """Rows that changed at the same instant are accepted in any order."""
    current = read(NEWEST_FIRST, changed((3, 60), (1, 60)), "token").checkpoint
    assert [row.Version for row in read(current, changed((2, 60)), None).rows] == [2]


def test_t0_is_that_of_the_first_page() -> None:
    """T0 is one second before the server's Date of the first page, whatever the Date of later pages."""
    current = read(FULL, numbered(1), "token", date_ms=DATE_MS).checkpoint
    assert read(current, numbered(2), None, date_ms=DATE_MS + HOUR_MS).checkpoint.t0_ms == T0_MS


def complete(*rows: ImageVersion) -> Checkpoint:
    """An accepted full listing of these rows."""
    return replace(read(FULL, rows, None).checkpoint, outcome=Outcome.COMPLETE)


@pytest.mark.parametrize(
    ("rows", "expected_ms"),
    [
        pytest.param([(5_000, "CREATED"), (9_000, "CREATED")], 9_000, id="newest"),
        pytest.param([(9_000, "CREATED"), (5_000, "CREATED")], 9_000, id="newest-first"),
        pytest.param([(T0_MS + 1, "CREATED")], T0_MS, id="clamped"),
        pytest.param([(T0_MS + 24 * HOUR_MS, "CREATED")], T0_MS, id="future"),
        pytest.param([(T0_MS - 500, "CREATING"), (T0_MS - 100, "CREATED")], T0_MS - 500, id="held"),
        pytest.param([(T0_MS - 500, "DELETING"), (T0_MS - 100, "CREATED")], T0_MS - 500, id="held-deleting"),
        pytest.param(
            [(T0_MS - 24 * HOUR_MS + 1, "CREATING"), (T0_MS, "CREATED")],
            T0_MS - 24 * HOUR_MS + 1,
            id="held-a-day",
        ),
        pytest.param([(T0_MS - 24 * HOUR_MS, "CREATING"), (T0_MS, "CREATED")], T0_MS, id="held-no-longer"),
        pytest.param([(T0_MS + 5, "CREATING")], T0_MS, id="held-and-clamped"),
        pytest.param([(T0_MS - 9, "CREATE_FAILED"), (T0_MS, "DELETE_FAILED")], T0_MS, id="failed-is-final"),
        pytest.param([(T0_MS - 9, "ARCHIVED"), (T0_MS, "CREATED")], T0_MS, id="unknown-is-final"),
    ],
)
def test_watermark(rows: list[tuple[int, str]], expected_ms: int) -> None:
    """The watermark is the newest change, at most T0; a version in a passing status holds it back for up to a day."""
    versions = [version(number, modified_ms=ms, status=status) for number, (ms, status) in enumerate(rows, 1)]
    assert watermark_ms(complete(*versions)) == expected_ms


@pytest.mark.parametrize("outcome", [outcome for outcome in Outcome if outcome is not Outcome.COMPLETE])
def test_watermark_of_what_is_not_complete(outcome: Outcome) -> None:
    """Only a complete listing moves the watermark."""
    assert watermark_ms(replace(complete(version(1)), outcome=outcome)) is None


def test_listing_without_a_time_of_its_own_moves_no_watermark() -> None:
    """Without T0 or the time of the newest change, a listing moves no watermark."""
    read_whole = complete(version(1))
    assert watermark_ms(read_whole) is not None
    assert watermark_ms(replace(read_whole, t0_ms=None)) is None
    assert watermark_ms(replace(read_whole, newest_ms=None)) is None


@given(st.lists(st.tuples(st.integers(1, 10**9), st.sampled_from(["CREATED", "CREATING"])), min_size=1))
def test_watermark_hides_no_passing_version(rows: list[tuple[int, str]]) -> None:
    """The watermark is not past the last change of any version that is younger than a day and still CREATING."""
    versions = [
        version(number, modified_ms=T0_MS - ms, status=state) for number, (ms, state) in enumerate(rows)
    ]
    reached = watermark_ms(complete(*versions))
    assert reached is not None
    young = [row for row in versions if epoch_ms(row.LastModifiedTime) > T0_MS - 24 * HOUR_MS]
    passing = [epoch_ms(row.LastModifiedTime) for row in young if row.ImageVersionStatus == "CREATING"]
    assert all(reached <= modified_ms for modified_ms in passing)


def test_reading_again_drops_token_and_proofs() -> None:
    """A listing that starts over keeps only its plan and the number of the reading."""
    current = read(FULL, numbered(1, 2), "token").checkpoint
    again = read_again(current)
    assert again == replace(FULL, reading=2)


def test_end_without_proof_keeps_what_was_read() -> None:
    """A listing that ends early keeps its row count, drops its token and records the error's code and message."""
    current = read(FULL, numbered(1, 2), "token").checkpoint
    end = ended(current, Outcome.DENIED, AccessDeniedError("no", code="AccessDeniedException"))
    assert (end.outcome, end.next_token, end.rows) == (Outcome.DENIED, None, 2)
    assert (end.error_code, end.error_message) == ("AccessDeniedException", "no")
    assert ended(current, Outcome.FAILED, AccessDeniedError("no")).error_code == "AccessDeniedError"
