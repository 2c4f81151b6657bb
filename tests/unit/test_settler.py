"""What one round of settling leaves as it is."""

from __future__ import annotations

from image_history.listing.pages import PageRead
from image_history.model import Checkpoint, ListingKind, ListingRequest, Outcome, Scope, Stop, Stream
from image_history.run.settle import Settler

READ = Checkpoint(
    Stream(Scope("111122223333", "us-east-1"), "base"),
    ListingRequest(ListingKind.FULL, 100, None),
    outcome=Outcome.READ,
    pages=1,
    rows=1,
    t0_ms=1_790_000_000_000,
    t1_ms=1_790_000_002_000,
)


def test_listing_of_a_scope_that_cannot_be_asked_stays_as_it_is() -> None:
    """Though it could be accepted without a call: the run that goes on finds the scope closed for all of it."""
    told: list[PageRead] = []
    assert Settler({}, told.append, Stop(), concurrency=1).settle([READ], {}, {}) == ()
    assert told == []
