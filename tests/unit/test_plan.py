from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from image_history.listing.request import ImageFilter, PlanSettings, plan_stream
from image_history.model import ListingKind, ListingRequest, Scope, Stream, StreamKnowledge
from tests.unit.fakes import FakeSource, in_turn, page, scope_calls

HOUR_MS = 3_600_000
NOW_MS = 1_795_435_200_123
STREAM = Stream(Scope("111122223333", "us-east-1"), "base")
SETTINGS = PlanSettings(page_size=100, lookback_ms=HOUR_MS // 4, reconcile_every_ms=24 * HOUR_MS)
LARGE = StreamKnowledge(
    live_versions=100, watermark_ms=NOW_MS - 5 * HOUR_MS + 999, last_full_at_ms=NOW_MS - 24 * HOUR_MS
)
FULL = ListingRequest(ListingKind.FULL, 100)
SINCE_MS = (NOW_MS - 5 * HOUR_MS + 999 - HOUR_MS // 4) // 1000 * 1000
INCREMENTAL = ListingRequest(ListingKind.INCREMENTAL, 100, SINCE_MS)


@pytest.mark.parametrize(
    ("known", "settings", "expected"),
    [
        pytest.param(None, SETTINGS, FULL, id="new"),
        pytest.param(replace(LARGE, live_versions=0), SETTINGS, FULL, id="empty"),
        pytest.param(replace(LARGE, live_versions=99), SETTINGS, FULL, id="one-page"),
        pytest.param(LARGE, SETTINGS, INCREMENTAL, id="large"),
        pytest.param(LARGE, replace(SETTINGS, full=True), FULL, id="asked-for"),
        pytest.param(replace(LARGE, watermark_ms=None), SETTINGS, FULL, id="no-watermark"),
        pytest.param(replace(LARGE, last_full_at_ms=None), SETTINGS, FULL, id="never-full"),
        pytest.param(
            replace(LARGE, last_full_at_ms=NOW_MS - 24 * HOUR_MS - 1), SETTINGS, FULL, id="reconcile"
        ),
        pytest.param(LARGE, replace(SETTINGS, reconcile_every_ms=0), FULL, id="reconcile-always"),
        pytest.param(replace(LARGE, held_back=1), SETTINGS, FULL, id="held-back"),
        pytest.param(
            LARGE, replace(SETTINGS, page_size=101), replace(FULL, page_size=101), id="larger-pages"
        ),
    ],
)
def test_request_is_the_cheapest_that_proves_the_most(
    known: StreamKnowledge | None, settings: PlanSettings, expected: ListingRequest
) -> None:
    """A listing is full if it takes one page, is due or is requested; otherwise it begins at the watermark."""
    planned = plan_stream(STREAM, known, settings, now_ms=NOW_MS)
    assert (planned.stream, planned.request) == (STREAM, expected)


@pytest.mark.parametrize(
    ("stored_ms", "created_ms", "expected"),
    [
        pytest.param(NOW_MS, NOW_MS, INCREMENTAL, id="the-same"),
        pytest.param(NOW_MS, None, INCREMENTAL, id="not-listed"),
        pytest.param(NOW_MS, NOW_MS + 1, FULL, id="made-again"),
        pytest.param(None, NOW_MS, FULL, id="never-listed-whole"),
    ],
)
def test_image_that_was_made_again_is_listed_in_full(
    stored_ms: int | None, created_ms: int | None, expected: ListingRequest
) -> None:
    """A listing is full if the image's CreationTime is not the one of its last whole listing."""
    known = replace(LARGE, image_created_ms=stored_ms)
    assert plan_stream(STREAM, known, SETTINGS, now_ms=NOW_MS, created_ms=created_ms).request == expected


def test_start_is_a_whole_second_before_the_watermark() -> None:
    """The start is rounded down to a second from the watermark minus the lookback."""
    assert SINCE_MS % 1000 == 0
    assert 0 <= LARGE.watermark_ms - SETTINGS.lookback_ms - SINCE_MS < 1000  # type: ignore[operator]


@pytest.mark.parametrize(
    ("kind", "sort_by", "sort_order"),
    [
        (ListingKind.FULL, "VERSION", "ASCENDING"),
        (ListingKind.INCREMENTAL, "LAST_MODIFIED_TIME", "DESCENDING"),
    ],
)
def test_listing_is_sorted_by_what_it_proves(kind: ListingKind, sort_by: str, sort_order: str) -> None:
    """A full listing is sorted by number, which never changes, and an incremental listing by the newest change."""
    request = ListingRequest(kind, 100)
    assert (request.sort_by, request.sort_order) == (sort_by, sort_order)


def sent(stream: Stream, request: ListingRequest) -> tuple[str, str, object]:
    """The account and the region that a request goes to, and its members."""
    source = FakeSource(in_turn(page([])))
    scope_calls(source).list_image_versions(stream.image_name, request, None)
    ((operation, members),) = source.asked
    return str(stream.scope), operation, members


def test_fingerprint_is_that_of_what_is_sent() -> None:
    """Two requests have the same fingerprint exactly if the same is sent to the same account and region."""
    pairs = [
        (STREAM, INCREMENTAL),
        (STREAM, replace(INCREMENTAL, page_size=99)),
        (STREAM, replace(INCREMENTAL, kind=ListingKind.FULL)),
        (replace(STREAM, image_name="Base"), INCREMENTAL),
        (replace(STREAM, scope=Scope("111122223333", "eu-west-1")), INCREMENTAL),
        (replace(STREAM, scope=Scope("444455556666", "us-east-1")), INCREMENTAL),
        # The start is not sent as a filter: the listing ends at the first row that is older.
        (STREAM, replace(INCREMENTAL, since_ms=0)),
    ]
    for one, other in combinations(pairs, 2):
        assert (one[1].fingerprint(one[0]) == other[1].fingerprint(other[0])) is (sent(*one) == sent(*other))
    assert sent(*pairs[0]) == sent(*pairs[-1])


@pytest.mark.parametrize(
    ("include", "exclude", "accepted"),
    [
        (("*",), (), {"base", "Base", "scratch-1", "x.y"}),
        (("b*",), (), {"base"}),
        (("[bB]ase", "x.?"), (), {"base", "Base", "x.y"}),
        (("*",), ("scratch-*", "x*"), {"base", "Base"}),
        (("base",), ("base",), set()),
    ],
)
def test_filter_takes_what_is_included_and_not_excluded(
    include: tuple[str, ...], exclude: tuple[str, ...], accepted: set[str]
) -> None:
    """A filter is case-sensitive, and an exclusion wins over an inclusion."""
    wanted = ImageFilter(include, exclude)
    assert {name for name in ("base", "Base", "scratch-1", "x.y") if wanted.accepts(name)} == accepted
