"""The estimate of calls and of their time, for every state in which a stream may be known."""

from __future__ import annotations

import pytest

from image_history.forecast.budget import syncs_for, within
from image_history.forecast.estimate import (
    LATENCY_SECONDS,
    NONE,
    DetailCalls,
    Facts,
    Listing,
    Pace,
    Reason,
    ScopeFacts,
    Seconds,
    Span,
    StreamEstimate,
    estimate_scope,
    estimate_stream,
    total_seconds,
)
from image_history.listing.details import shares
from image_history.listing.verdict import Step
from image_history.model import (
    Checkpoint,
    ListingKind,
    ListingRequest,
    Outcome,
    PlannedStream,
    Scope,
    Stream,
    StreamKnowledge,
)

SCOPE = Scope("111122223333", "us-east-1")
STREAM = Stream(SCOPE, "base")
FULL = PlannedStream(STREAM, ListingRequest(ListingKind.FULL, 100))
INCREMENTAL = PlannedStream(STREAM, ListingRequest(ListingKind.INCREMENTAL, 100, 0))
READ = StreamKnowledge(live_versions=250, watermark_ms=1, last_full_at_ms=1)
UNREAD = StreamKnowledge(live_versions=250)


@pytest.mark.parametrize(
    ("planned", "facts", "listing", "calls", "reason"),
    [
        pytest.param(FULL, Facts(None), Listing.NEW, (Span(1, None), Span(0, None)), Reason.NEW, id="new"),
        pytest.param(
            FULL,
            Facts(StreamKnowledge(0)),
            Listing.ONE_PAGE,
            (Span(1, 1), Span(0, 0)),
            None,
            id="without-versions",
        ),
        pytest.param(
            FULL,
            Facts(READ, unexplained=0),
            Listing.RECONCILE,
            (Span(3, 3), Span(0, 0)),
            None,
            id="reconcile",
        ),
        pytest.param(
            FULL,
            Facts(READ, unexplained=2),
            Listing.RECONCILE,
            (Span(3, 6), Span(0, 2)),
            Reason.UNEXPLAINED,
            id="few-suspects",
        ),
        pytest.param(
            FULL,
            Facts(READ, unexplained=50),
            Listing.RECONCILE,
            (Span(3, 6), Span(0, 2)),
            Reason.UNEXPLAINED,
            id="many-suspects",
        ),
        pytest.param(
            FULL, Facts(READ), Listing.RECONCILE, (Span(3, 6), Span(0, 2)), Reason.LOCKED, id="locked"
        ),
        pytest.param(
            FULL,
            Facts(UNREAD),
            Listing.RECONCILE,
            (Span(3, None), Span(0, None)),
            Reason.UNREAD,
            id="never-read-whole",
        ),
        pytest.param(
            INCREMENTAL,
            Facts(READ, recent=5),
            Listing.INCREMENTAL,
            (Span(1, 1), Span(0, 0)),
            None,
            id="quiet",
        ),
        pytest.param(
            INCREMENTAL,
            Facts(READ, recent=100),
            Listing.INCREMENTAL,
            (Span(4, 4), Span(0, 0)),
            None,
            id="page-of-changes",
        ),
        pytest.param(
            INCREMENTAL,
            Facts(READ),
            Listing.INCREMENTAL,
            (Span(1, 6), Span(0, 0)),
            Reason.LOCKED,
            id="quiet-locked",
        ),
        pytest.param(
            INCREMENTAL,
            Facts(READ, waiting=True),
            Listing.INCREMENTAL,
            (Span(1, None), Span(0, None)),
            Reason.WAITING,
            id="waiting",
        ),
    ],
)
def test_stream_takes_the_calls_that_its_facts_allow(
    planned: PlannedStream,
    facts: Facts,
    listing: Listing,
    calls: tuple[Span, Span],
    reason: Reason | None,
) -> None:
    """The number of calls is exact if the warehouse determines it; otherwise it is a range with a reason."""
    found = estimate_stream(planned, facts)
    caveat = Reason.DELETIONS if (listing, reason) == (Listing.RECONCILE, None) else None
    assert found == StreamEstimate(STREAM, listing, calls[0], NONE, calls[1], reason, caveat)


def test_stream_that_vanished_takes_a_list_and_a_confirmation() -> None:
    """For a vanished image, the estimate is one list call and one DescribeImage that confirms the deletion."""
    found = estimate_stream(FULL, Facts(READ, listed=False, unexplained=0))
    assert (found.listing, found.list_versions, found.describe_image) == (
        Listing.VANISHED,
        Span.of(1),
        Span.of(1),
    )


@pytest.mark.parametrize(
    ("mark", "tokens_live", "lists"),
    [
        pytest.param(Checkpoint(STREAM, FULL.request, Outcome.COMPLETE), True, (0, 0), id="done"),
        pytest.param(Checkpoint(STREAM, FULL.request, next_token="t", pages=2), True, (1, 1), id="goes-on"),
        pytest.param(Checkpoint(STREAM, FULL.request, next_token="t", pages=2), False, (3, 3), id="too-old"),
        pytest.param(Checkpoint(STREAM, FULL.request, next_token="t", pages=9), True, (1, 1), id="has-grown"),
        pytest.param(Checkpoint(STREAM, FULL.request, Outcome.READ, pages=3), True, (0, 0), id="read"),
        pytest.param(Checkpoint(STREAM, FULL.request, Outcome.MISSING), True, (0, 0), id="confirmed-missing"),
    ],
)
def test_unfinished_stream_takes_what_is_left(
    mark: Checkpoint, tokens_live: bool, lists: tuple[int, int]
) -> None:
    """An unfinished stream continues from its checkpoint, unless the run is too old for its tokens."""
    facts = Facts(READ, unexplained=0, mark=mark, tokens_live=tokens_live, step=Step.ACCEPT)
    assert estimate_stream(FULL, facts).list_versions == Span(*lists)


def test_time_is_that_of_the_slowest_scope() -> None:
    """Scopes run in parallel, each at its own pace; an open range of calls has no longest time."""
    pace = Pace(2, 5, 16)
    streams = [StreamEstimate(STREAM, Listing.RECONCILE, Span.of(10), Span.of(1))]
    slow = estimate_scope(SCOPE, ScopeFacts(1), streams, pace)
    assert slow.seconds.low == pytest.approx(10 / 2 + LATENCY_SECONDS + LATENCY_SECONDS)
    assert slow.seconds.high == slow.seconds.low
    quick = estimate_scope(Scope("1", "r"), ScopeFacts(1), [], pace)
    assert quick.seconds == Seconds(LATENCY_SECONDS, LATENCY_SECONDS)
    assert total_seconds([slow, quick], pace) == slow.seconds
    open_ended = estimate_scope(
        SCOPE, ScopeFacts(1), [StreamEstimate(STREAM, Listing.NEW, Span(1, None))], pace
    )
    assert total_seconds([slow, open_ended], pace) == Seconds(slow.seconds.low, None)


def test_time_of_many_scopes_is_bound_by_the_calls_at_a_time() -> None:
    """With two calls at a time, a hundred scopes of one call each take the time of fifty calls in a row."""
    pace = Pace(2, 5, 2)
    scopes = [estimate_scope(Scope(str(number), "r"), ScopeFacts(1), [], pace) for number in range(100)]
    assert total_seconds(scopes, pace).low == pytest.approx(100 * LATENCY_SECONDS / 2)


A, B, C = (Scope(str(number) * 12, "r") for number in range(3))


@pytest.mark.parametrize(
    ("pending", "budget", "shared"),
    [
        pytest.param({A: 5, B: 7}, None, {A: 5, B: 7}, id="all"),
        pytest.param({A: 5, B: 7}, 12, {A: 5, B: 7}, id="enough"),
        pytest.param({A: 100, B: 2, C: 100}, 50, {A: 24, B: 2, C: 24}, id="small-one-whole"),
        pytest.param({A: 1000, B: 1000}, 3, {A: 1, B: 2}, id="odd"),
        pytest.param({A: 9}, 0, {A: 0}, id="nothing-left"),
        pytest.param({}, 9, {}, id="no-scope"),
    ],
)
def test_budget_is_shared_evenly(
    pending: dict[Scope, int], budget: int | None, shared: dict[Scope, int]
) -> None:
    """Each scope gets an equal share of the budget, and the rest of a scope that needs less goes to the others."""
    assert shares(pending, budget) == shared


@pytest.mark.parametrize(
    ("pending", "budget", "asked"),
    [
        pytest.param((Span.of(30), Span.of(30)), 100, (Span.of(30), Span.of(30)), id="enough"),
        pytest.param((Span.of(30), Span.of(30)), 20, (Span.of(10), Span.of(10)), id="both-of-each"),
        pytest.param((Span.of(30), NONE), 20, (Span.of(20), NONE), id="descriptions-alone"),
        pytest.param((Span.of(30), Span.of(5)), 20, (Span(15, 20), Span(0, 5)), id="some-lack-one"),
        pytest.param((Span(4, None), Span(4, None)), 20, (Span(0, 20), Span(0, 20)), id="unknown"),
    ],
)
def test_plan_asks_for_no_more_details_than_the_budget(
    pending: tuple[Span, Span], budget: int, asked: tuple[Span, Span]
) -> None:
    """The number of detail calls is exact if each version needs the same calls; otherwise it is a range."""
    assert within({SCOPE: DetailCalls(*pending)}, budget) == {SCOPE: DetailCalls(*asked)}


def test_syncs_are_counted_from_the_budget() -> None:
    """The number of syncs is the calls divided by the budget, rounded up; without a budget it is one."""
    assert syncs_for(Span(2000, 2001), 2000) == Span(1, 2)
    assert syncs_for(Span(0, None), 2000) == Span(0, None)
    assert syncs_for(Span.of(9999), None) == Span.of(1)
