"""Since when the hints about a scope are heard without a gap."""

from __future__ import annotations

from image_history.hints.heard import Heard, heard_after, heard_since, source_of
from image_history.listing.request import ImageFilter
from image_history.model import Scope

HERE, THERE = Scope("111122223333", "us-east-1"), Scope("111122223333", "eu-west-1")
ALL, SOME = source_of("/hints", ImageFilter()), source_of("/hints", ImageFilter(exclude=("a",)))


def heard(scope: Scope, source: str, since_ms: int) -> Heard:
    """One scope's entry."""
    return Heard(scope.account_id, scope.region, source, since_ms)


def test_source_is_the_mailbox_and_the_images() -> None:
    """Another queue or folder, or another choice of images, is another source."""
    others = {source_of("/other", ImageFilter()), source_of("/hints", ImageFilter(include=("a*",))), SOME}
    assert ALL not in others
    assert len(others) == 3
    assert source_of("/hints", ImageFilter()) == ALL


def test_scope_is_heard_from_the_same_source_only() -> None:
    """An entry counts for its own account, region and source."""
    entries = [heard(HERE, ALL, 5), heard(THERE, SOME, 7)]
    assert heard_since(entries, HERE, ALL) == 5
    assert heard_since(entries, HERE, SOME) is None
    assert heard_since(entries, THERE, ALL) is None
    assert heard_since((), HERE, ALL) is None


def test_run_keeps_what_is_heard_already_and_adds_what_it_read() -> None:
    """A scope that was heard keeps its instant; a new one, or one with another source, begins with the run."""
    before = [heard(HERE, ALL, 5), heard(THERE, SOME, 7)]
    after = heard_after(before, {HERE: ALL, THERE: ALL}, since_ms=9, everything=True)
    assert set(after) == {heard(HERE, ALL, 5), heard(THERE, ALL, 9)}


def test_only_a_run_of_everything_forgets_scopes_that_it_did_not_read() -> None:
    """Such a run acknowledges the hints about all other scopes."""
    before = [heard(THERE, ALL, 7)]
    assert heard_after(before, {HERE: ALL}, since_ms=9, everything=True) == (heard(HERE, ALL, 9),)
    assert set(heard_after(before, {HERE: ALL}, since_ms=9, everything=False)) == {
        heard(THERE, ALL, 7),
        heard(HERE, ALL, 9),
    }
