"""When a part of a run is loaded: not too often, several scopes together, and again after a failure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from image_history.errors import LandingError, WarehouseLockedError
from image_history.landing.plan import RunPlan
from image_history.landing.runs import LandedRun
from image_history.landing.share import Share
from image_history.model import (
    Checkpoint,
    ListingKind,
    ListingRequest,
    Outcome,
    Scope,
    Stream,
)
from image_history.run.visible import Rhythm, Visible

SCOPES = tuple(Scope("111122223333", region) for region in ("us-east-1", "eu-west-1"))
MARKS = tuple(
    Checkpoint(Stream(scope, "base"), ListingRequest(ListingKind.FULL, 100), outcome=Outcome.READING)
    for scope in SCOPES
)
RUN = LandedRun(Path("run"), RunPlan("run", 0, ListingKind.FULL, "", (), ()), (), {}, {})


def nothing(_: LandedRun, __: Share) -> int:
    """Load nothing, at the first millisecond."""
    return 1


def visible(now: list[float], load: Callable[[LandedRun, Share], int] = nothing) -> Visible:
    """Two scopes of one stream each, with a clock that the test sets."""
    made = Visible(load, Rhythm(part=10, most=30, slices=120, quiet=1, clock=lambda: now[0]))
    made.standing.arrived(SCOPES, MARKS)
    return made


def end(made: Visible, number: int) -> None:
    """Read and settle the scope of this number."""
    made.put(replace(MARKS[number], outcome=Outcome.COMPLETE))


def test_scope_is_due_ten_seconds_after_the_last_load() -> None:
    """A complete scope is loaded ten seconds after the last load, and nothing is due while no scope is complete."""
    now = [0.0]
    made = visible(now)
    now[0] = 11.0
    assert not made.is_due()
    now[0] = 0.0
    end(made, 0)
    for now[0], due in ((9.0, False), (10.0, True)):
        assert made.is_due() is due
    made.attempt(lambda: made.part(RUN, made.whole()))
    assert not made.is_due()
    assert made.loaded == {SCOPES[0]}
    now[0] = 15.0
    end(made, 1)
    for now[0], due in ((19.0, False), (20.0, True)):
        assert made.is_due() is due


def test_scopes_that_are_read_one_after_the_other_are_waited_for() -> None:
    """Scopes that complete one after the other are loaded together, after thirty seconds at most."""
    now = [0.0]
    made = visible(now)
    for tenths in range(98, 300, 9):
        now[0] = tenths / 10
        end(made, 0)
        made.put(MARKS[1])
        assert not made.is_due()
    now[0] = 30.0
    assert made.is_due()


def test_scope_that_is_not_answered_is_not_waited_for() -> None:
    """The load does not wait for a scope without answers, which may be throttled for an hour."""
    now = [0.0]
    made = visible(now)
    now[0] = 10.0
    made.put(MARKS[1])
    now[0] = 11.0
    end(made, 0)
    assert made.is_due()


def test_scope_that_has_much_left_is_not_waited_for() -> None:
    """The load does not wait for a scope with much left; it waits a second for another that is nearly read."""
    now = [0.0]
    made = visible(now)
    now[0] = 10.0
    for name, due in (("second", False), ("third", True)):
        made.standing.arrived([], [replace(MARKS[1], stream=replace(MARKS[1].stream, image_name=name))])
        made.put(MARKS[1])
        end(made, 0)
        assert made.is_due() is due
    made.put(replace(MARKS[1], outcome=Outcome.READ))
    for now[0], due in ((10.9, False), (11.0, True)):
        made.put(replace(MARKS[1], outcome=Outcome.READ))
        assert made.is_due() is due


def test_part_that_fails_is_put_off() -> None:
    """If another program locks the warehouse, the same scopes are due again ten seconds later."""
    now = [10.0]

    def refuse(_: LandedRun, __: Share) -> int:
        raise WarehouseLockedError("The warehouse is held by a test.", holder="a test")

    made = visible(now, refuse)
    end(made, 0)
    made.attempt(lambda: made.part(RUN, made.whole()))
    assert made.whole() == {SCOPES[0]}
    now[0] = 19.0
    assert not made.is_due()
    now[0] = 20.0
    assert made.is_due()


def test_part_that_cannot_be_landed_ends_the_run() -> None:
    """If a part cannot be landed, the error ends the run."""
    made = visible([0.0])

    def refuse() -> None:
        raise LandingError("The disk is full.")

    with pytest.raises(LandingError):
        made.attempt(refuse)


def test_scope_whose_stream_is_read_again_is_not_whole() -> None:
    """A scope is not complete while a stream of it is read again after a contradiction."""
    made = visible([0.0])
    made.put(replace(MARKS[0], outcome=Outcome.READ))
    assert made.unsettled() == {SCOPES[0]}
    made.put(MARKS[0])
    assert made.unsettled() == made.whole() == frozenset()
    end(made, 0)
    assert made.whole() == {SCOPES[0]}


def test_details_are_due_every_two_minutes_and_sooner_with_scopes() -> None:
    """Details are due every two minutes, or earlier together with complete scopes."""
    now = [10.0]
    made = visible(now)
    end(made, 0)
    now[0] = 20.0
    assert made.details_are_due()
    made.attempt(lambda: made.part(RUN, made.whole()))
    for now[0], due in ((139.0, False), (140.0, True)):
        assert made.details_are_due() is due
