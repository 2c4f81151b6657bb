from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from image_history.aws.bodies import Answer, ImageVersion
from image_history.errors import (
    AccessDeniedError,
    ConnectorError,
    RequestRejectedError,
    ServiceUnavailableError,
)
from image_history.extract.side_by_side import SideBySide
from image_history.listing.pages import PageRead, begin
from image_history.listing.windows import Bounds, Misfit, Split, begun, opened, read_on, split
from image_history.model import (
    Checkpoint,
    ListingKind,
    ListingRequest,
    Outcome,
    Place,
    PlannedStream,
    Scope,
    Stop,
    Stream,
    Window,
)
from tests.unit.fakes import DATE_MS, FakeSource, page, read_scopes, scope_calls, version

STREAM = Stream(Scope("111122223333", "us-east-1"), "base")
REQUEST = ListingRequest(ListingKind.FULL, 2, may_split=True)
MINUTE_MS = 60_000
COUNT = 120


def row(number: int, *, minute: float | None = None) -> ImageVersion:
    """A version that was created in the minute of its number, or in another."""
    return msgspec.structs.replace(
        version(number), CreationTime=(number if minute is None else minute) * 60.0
    )


def place(number: int) -> Place:
    """Where such a version stands."""
    return Place(number, number * MINUTE_MS)


def reading(*windows: Window) -> Checkpoint:
    """A listing in windows."""
    start = begin(PlannedStream(STREAM, REQUEST))
    return replace(
        start, windows=windows, pages=12, rows=26, lowest_version=1, t0_ms=DATE_MS - 1000, next_token="chain"
    )


CHAIN = Window(place(23), place(24), next_token="chain")
END = Window(place(119), place(120))


def test_later_half_begins_whole_pages_behind_what_was_read() -> None:
    """A window ends with a full page where versions were created evenly, so that no row is read twice."""
    half = split(reading(CHAIN, END))
    assert half == Split(71, 71 * MINUTE_MS)
    assert (half.number - 25) % REQUEST.page_size == 0


def test_numbers_without_versions_are_no_pages() -> None:
    """Where nine in ten versions were deleted, so much less is left to be halved."""
    dense = reading(CHAIN, END)
    assert split(dense) is not None
    assert split(replace(dense, rows=3)) is None


def test_halves_that_are_tried_are_halved_themselves() -> None:
    """Several threads that come at the same time do not try the same half."""
    first = split(reading(CHAIN, END))
    assert first is not None
    second = split(reading(CHAIN, END), [first])
    assert second is not None
    assert second.number not in {first.number, 0}


@pytest.mark.parametrize(
    ("windows", "bounds"),
    [
        pytest.param((Window(place(23), place(104), next_token="t"), END), Bounds(), id="little-left"),
        pytest.param((Window(place(23), place(24)), END), Bounds(), id="read"),
        pytest.param((CHAIN, END), Bounds(most=0), id="enough"),
        pytest.param((CHAIN, END), Bounds(pages_a_split=61), id="too-short"),
        pytest.param(
            (CHAIN, Window(Place(119, 24 * MINUTE_MS + 999), place(120))), Bounds(), id="one-second"
        ),
    ],
)
def test_no_window_is_split_for_nothing(windows: tuple[Window, ...], bounds: Bounds) -> None:
    """Neither what is almost read, nor what no second divides, nor more often than pays."""
    assert split(reading(*windows), (), bounds) is None


@pytest.mark.parametrize(
    ("rows", "token", "expected"),
    [
        pytest.param((), "t", Misfit.UNFILTERED, id="empty-and-goes-on"),
        pytest.param((row(71),), "t", Misfit.UNFILTERED, id="short-and-goes-on"),
        pytest.param((), None, Misfit.UNFILTERED, id="nothing"),
        pytest.param((row(1), row(2)), "t", Misfit.UNFILTERED, id="not-filtered"),
        pytest.param((row(72), row(71)), "t", Misfit.UNFILTERED, id="falling"),
        pytest.param((row(119), row(120)), "t", Misfit.ELSEWHERE, id="nothing-between"),
        pytest.param((row(24, minute=71), row(25, minute=72)), "t", Misfit.ELSEWHERE, id="already-read"),
        pytest.param((row(5, minute=71), row(6, minute=72)), "t", Misfit.ELSEWHERE, id="before-windows"),
    ],
)
def test_answer_that_begins_no_window_is_dropped(
    rows: tuple[ImageVersion, ...], token: str | None, expected: Misfit
) -> None:
    """What should have been filtered, or lies where nothing is left to read, changes nothing."""
    half = Split(71, 71 * MINUTE_MS)
    assert begun(reading(CHAIN, END), half, rows, token, date_ms=DATE_MS) is expected


def test_window_right_behind_what_was_read_ends_the_one_before() -> None:
    """No number is left between the two."""
    step = begun(reading(CHAIN, END), Split(25, 25 * MINUTE_MS), (row(25), row(26)), "t", date_ms=DATE_MS)
    assert isinstance(step, PageRead)
    assert [window.next_token for window in step.checkpoint.windows] == [None, "t", None]
    assert step.checkpoint.next_token == "t"


def test_window_that_meets_the_next_keeps_its_rows_only() -> None:
    """Rows of the next window are not landed twice, and nothing is left of the one that meets it."""
    window = Window(place(71), place(116), 71 * MINUTE_MS, "t")
    before = reading(Window(place(23), place(70)), window, END)
    step = read_on(before, 71, (row(118), row(119)), "u", date_ms=DATE_MS)
    assert step is not None
    assert [each.Version for each in step.rows] == [118]
    end = step.checkpoint
    assert (end.outcome, end.windows, end.next_token, end.rows, end.pages) == (Outcome.READ, (), None, 27, 13)


@pytest.mark.parametrize("numbers", [(116, 117), (118, 117)], ids=["again", "falling"])
def test_page_that_contradicts_its_window_is_refused(numbers: tuple[int, int]) -> None:
    """Version numbers rise in every window."""
    window = Window(place(71), place(116), 71 * MINUTE_MS, "t")
    before = reading(CHAIN, window, END)
    assert read_on(before, 71, tuple(map(row, numbers)), "u", date_ms=DATE_MS) is None


@pytest.mark.parametrize("numbers", [(), (119, 120), (24, 23)], ids=["nothing", "rising", "read"])
def test_end_that_does_not_fit_begins_no_windows(numbers: tuple[int, ...]) -> None:
    """The newest page falls, and holds something that the chain has not read."""
    chain = replace(reading(), windows=(), last_version=24)
    assert opened(chain, (row(23), row(24)), tuple(map(row, numbers)), date_ms=DATE_MS) is None


Parameters = Mapping[str, Any]


def lists(
    fault: Callable[[Parameters], ConnectorError | Answer[Any] | None] = lambda _: None, *, held: bool = True
) -> Callable[[str, Parameters], Answer[Any]]:
    """Answers of an image with a version a minute; `fault` may answer in its place.

    If `held`, the chain waits, once windows have begun, until one of them goes on, or begins in vain.
    """
    windows, shared = threading.Event(), threading.Event()

    def answering(_: str, parameters: Parameters) -> Answer[Any]:
        newest, filtered = parameters["SortOrder"] == "DESCENDING", "CreationTimeAfter" in parameters
        if held and windows.is_set() and not newest and not filtered:
            assert shared.wait(10)
        if newest:
            windows.set()
        instead = fault(parameters)
        if goes_on(parameters) or (filtered and instead is not None):
            shared.set()
        if isinstance(instead, ConnectorError):
            raise instead
        return _page(parameters) if instead is None else instead

    return answering


def _page(parameters: Parameters) -> Answer[Any]:
    after = parameters.get("CreationTimeAfter")
    rows = [row(number) for number in range(1, COUNT + 1)]
    if after is not None:
        rows = [each for each in rows if each.CreationTime >= after.timestamp()]
    if parameters["SortOrder"] == "DESCENDING":
        rows.reverse()
    start = int(parameters.get("NextToken", "0").rpartition(" ")[2])
    end = start + parameters["MaxResults"]
    return page(rows[start:end], f"{after} {end}" if end < len(rows) else None)


def read(
    answering: Callable[[str, Parameters], Answer[Any]], threads: int = 4
) -> tuple[FakeSource, list[PageRead]]:
    """What was asked, and what reached the sink, of one image that is read on so many threads."""
    source, pages = FakeSource(answering), list[PageRead]()
    calls = {STREAM.scope: scope_calls(source)}
    lost = read_scopes(calls, pages.append, [begin(PlannedStream(STREAM, REQUEST))], threads=threads)
    assert lost == {}
    return source, pages


def numbers(pages: list[PageRead], reading: int = 1) -> list[int]:
    """The version numbers that one reading handed on, sorted."""
    chosen = [each for each in pages if each.checkpoint.reading == reading]
    return sorted(row.Version for each in chosen for row in each.rows)


def begins(parameters: Parameters) -> bool:
    """A request that begins a window."""
    return "CreationTimeAfter" in parameters and "NextToken" not in parameters


def goes_on(parameters: Parameters) -> bool:
    """A request that goes on with a window."""
    return "CreationTimeAfter" in parameters and "NextToken" in parameters


@pytest.mark.parametrize("threads", [2, 4, 16])
def test_every_version_is_handed_on_once(threads: int) -> None:
    """However many threads share a listing, its union is that of one chain, and it ends once."""
    source, pages = read(lists(), threads)
    assert any(begins(asked) for _, asked in source.asked)
    assert numbers(pages) == list(range(1, COUNT + 1))
    assert [each.checkpoint.outcome for each in pages].count(Outcome.READ) == 1
    end = pages[-1].checkpoint
    assert (end.outcome, end.windows, end.rows, end.pages) == (Outcome.READ, (), COUNT, len(pages))
    assert (end.lowest_version, end.highest_version, end.newest_ms) == (1, COUNT, COUNT * 1000)
    assert end.t0_ms == DATE_MS - 1000


def test_one_thread_reads_one_chain() -> None:
    """Windows are nothing for a thread that is alone."""
    source, pages = read(lists(held=False), 1)
    assert len(source.asked) == COUNT // 2
    assert not any(each.checkpoint.windows for each in pages)


def test_filter_that_is_refused_is_done_without() -> None:
    """A service that takes no filter by creation time is read in one chain, in one reading."""
    refused = RequestRejectedError("no such filter", code="ValidationException")
    source, pages = read(lists(lambda asked: refused if begins(asked) else None))
    assert sum(begins(asked) for _, asked in source.asked) == 1
    assert numbers(pages) == list(range(1, COUNT + 1))
    assert pages[-1].checkpoint.outcome is Outcome.READ


def test_end_in_another_order_is_done_without() -> None:
    """A service that knows no descending order is asked for it once."""
    rising = page([row(1), row(2)], "t")
    source, pages = read(
        lists(lambda asked: rising if asked["SortOrder"] == "DESCENDING" else None, held=False)
    )
    assert len(source.asked) == COUNT // 2 + 1
    assert numbers(pages) == list(range(1, COUNT + 1))


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(
            RequestRejectedError("Invalid pagination token", code="ValidationException"), id="token"
        ),
        pytest.param(page([row(3), row(2)], "t"), id="order"),
    ],
)
def test_window_that_fails_makes_for_one_chain(wrong: RequestRejectedError | Answer[Any]) -> None:
    """A token that is refused, or a page that contradicts its window: the listing starts over, without windows."""
    source, pages = read(lists(lambda asked: wrong if goes_on(asked) else None))
    assert numbers(pages, reading=2) == list(range(1, COUNT + 1))
    assert pages[-1].checkpoint.outcome is Outcome.READ
    again = [each.checkpoint for each in pages if each.checkpoint.reading == 2]
    assert not any(mark.windows for mark in again)
    assert len(again) == COUNT // 2
    assert all(not goes_on(asked) for _, asked in source.asked[-COUNT // 4 :])


def test_stream_that_is_denied_in_a_window_ends_once() -> None:
    """What other threads still get is not handed on behind the end."""
    denied = AccessDeniedError("no", code="AccessDeniedException")
    _, pages = read(lists(lambda asked: denied if goes_on(asked) else None))
    outcomes = [each.checkpoint.outcome for each in pages]
    assert outcomes.count(Outcome.DENIED) == 1
    assert outcomes[-1] is Outcome.DENIED


def test_scope_that_stops_answering_keeps_its_windows() -> None:
    """The listing stays as it is, for the next sync to go on with."""
    down = ServiceUnavailableError("down")
    source, pages = FakeSource(lists(lambda asked: down if goes_on(asked) else None)), list[PageRead]()
    calls = {STREAM.scope: scope_calls(source)}
    lost = read_scopes(calls, pages.append, [begin(PlannedStream(STREAM, REQUEST))], threads=4)
    assert list(lost) == [STREAM.scope]
    mark = pages[-1].checkpoint
    assert (mark.outcome, len(mark.windows) > 2) == (Outcome.READING, True)

    second = FakeSource(lists(held=False))
    more: list[PageRead] = []
    assert read_scopes({STREAM.scope: scope_calls(second)}, more.append, [mark], threads=4) == {}
    assert numbers(pages + more) == list(range(1, COUNT + 1))
    assert more[-1].checkpoint.outcome is Outcome.READ
    asked = [parameters.get("NextToken") for _, parameters in second.asked]
    assert {window.next_token for window in mark.windows if window.next_token is not None} <= set(asked)


def test_nobody_waits_for_a_trial_at_a_stop() -> None:
    """One filter is tried at a time, and who waits for its answer leaves when the run is asked to end."""
    stop = Stop()
    listing = SideBySide(reading(CHAIN, END), lambda _: None, stop)
    taken = [listing.take(wait=False) for _ in range(3)]
    assert [turn is not None and turn.tried is not None for turn in taken] == [False, True, False]
    stop.request(15)
    assert listing.take() is None
