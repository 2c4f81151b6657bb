"""When a part of a run is loaded: not too often, together what is read together, and again after a failure."""

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
    """Two scopes of one stream each, at a time that a test moves."""
    made = Visible(load, Rhythm(part=10, most=30, slices=120, quiet=1, clock=lambda: now[0]))
    made.standing.arrived(SCOPES, MARKS)
    return made


def end(made: Visible, number: int) -> None:
    """The n-th scope is read and settled."""
    made.put(replace(MARKS[number], outcome=Outcome.COMPLETE))


def test_scope_is_due_ten_seconds_after_the_last_load() -> None:
    """Not before, and not while none is read."""
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
    """Up to thirty seconds: they are loaded together."""
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
    """It may be throttled for an hour: what was read meanwhile is loaded at once."""
    now = [0.0]
    made = visible(now)
    now[0] = 10.0
    made.put(MARKS[1])
    now[0] = 11.0
    end(made, 0)
    assert made.is_due()


def test_scope_that_has_much_left_is_not_waited_for() -> None:
    """Others that are nearly read are, for a second after the last one became ready."""
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
    """Another program has the warehouse: ten seconds later the same scopes are due again."""
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
    """What is read can no longer be kept."""
    made = visible([0.0])

    def refuse() -> None:
        raise LandingError("The disk is full.")

    with pytest.raises(LandingError):
        made.attempt(refuse)


def test_scope_whose_stream_is_read_again_is_not_whole() -> None:
    """It was read, contradicted itself, and begins anew."""
    made = visible([0.0])
    made.put(replace(MARKS[0], outcome=Outcome.READ))
    assert made.unsettled() == {SCOPES[0]}
    made.put(MARKS[0])
    assert made.unsettled() == made.whole() == frozenset()
    end(made, 0)
    assert made.whole() == {SCOPES[0]}


def test_details_are_due_every_two_minutes_and_sooner_with_scopes() -> None:
    """What was listed is not to wait for a slice."""
    now = [10.0]
    made = visible(now)
    end(made, 0)
    now[0] = 20.0
    assert made.details_are_due()
    made.attempt(lambda: made.part(RUN, made.whole()))
    for now[0], due in ((139.0, False), (140.0, True)):
        assert made.details_are_due() is due
