"""What one round of settling accepts, holds back or reads again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from image_history.listing.pages import PageRead
from image_history.listing.verdict import Findings, Suspect
from image_history.model import Checkpoint, ListingKind, ListingRequest, Outcome, Scope, Stop, Stream
from image_history.run.settle import Settler

SCOPE = Scope("111122223333", "us-east-1")
READ = Checkpoint(
    Stream(SCOPE, "base"),
    ListingRequest(ListingKind.FULL, 100, None),
    outcome=Outcome.READ,
    pages=1,
    rows=1,
    t0_ms=1_790_000_000_000,
    t1_ms=1_790_000_002_000,
)


def test_listing_of_a_scope_that_cannot_be_asked_stays_as_it_is() -> None:
    """A listing of a scope without calls stays as it is, even if it could be accepted without a call."""
    told: list[PageRead] = []
    assert Settler({}, told.append, Stop(), concurrency=1).settle([READ], {}, {}) == ()
    assert told == []


def test_only_listings_that_lack_something_are_held_back() -> None:
    """Only the listings that lose too many versions are held back; other listings of the scope are accepted."""
    elsewhere = Scope("111122223333", "eu-west-1")
    quiet = replace(READ, stream=Stream(SCOPE, "quiet"))
    few = replace(READ, stream=Stream(elsewhere, "few"), outcome=Outcome.MISSING)
    lost = tuple(Suspect(number, 1_780_000_000_000) for number in range(1, 32))
    findings = {
        READ.stream: Findings(missing=lost),
        quiet.stream: Findings(),
        few.stream: Findings(lives=1, known_until_ms=1_780_000_000_000),
    }
    told: list[PageRead] = []
    nobody_is_asked: Any = dict.fromkeys((SCOPE, elsewhere))
    settler = Settler(nobody_is_asked, told.append, Stop(), concurrency=1)
    settler.settle([READ, quiet, few], findings, {SCOPE: 100, elsewhere: 100})
    assert {page.checkpoint.stream.image_name: page.checkpoint.outcome for page in told} == {
        "base": Outcome.HELD_BACK,
        "quiet": Outcome.COMPLETE,
        "few": Outcome.GONE,
    }


def test_listing_that_is_read_again_asks_for_the_same_unless_all_is_needed() -> None:
    """A listing is read again with the same request; an incremental listing that starts too late is read in full."""
    newest = replace(READ, request=ListingRequest(ListingKind.INCREMENTAL, 100, 0), pages=2)
    told: list[PageRead] = []
    nobody_is_asked: Any = {SCOPE: None}
    settler = Settler(nobody_is_asked, told.append, Stop(), concurrency=1)
    [again] = settler.settle([newest], {}, {})
    assert (again.request, again.reading) == (newest.request, 2)
    [whole] = settler.settle([newest], {newest.stream: Findings(unfounded=True)}, {})
    assert (whole.request, whole.reading) == (ListingRequest(ListingKind.FULL, 100), 2)
    assert [page.checkpoint for page in told] == [again, whole]
