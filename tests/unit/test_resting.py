"""Which images may rest, and which hints are settled: each condition, and its limit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest

from image_history.hints.events import Hint
from image_history.hints.heard import Heard, source_of
from image_history.hints.resting import (
    LAG_MS,
    Confirmations,
    Confirmed,
    ImageTimes,
    Ledger,
    Rest,
    by_image,
)
from image_history.listing.request import ImageFilter
from image_history.model import Scope, Stream, StreamKnowledge

SCOPE, ELSEWHERE = Scope("111122223333", "us-east-1"), Scope("111122223333", "eu-west-1")
STREAM = Stream(SCOPE, "Base")
T0_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
NOW_MS = T0_MS + HOUR_MS - 1
CREATED_MS, MODIFIED_MS = T0_MS - 10 * HOUR_MS, T0_MS - LAG_MS
IMAGE = (CREATED_MS, MODIFIED_MS, "CREATED")
KNOWN = StreamKnowledge(99, watermark_ms=MODIFIED_MS, image_created_ms=CREATED_MS)
LARGE = replace(KNOWN, live_versions=100, last_full_at_ms=NOW_MS - HOUR_MS)
LOADED_MS = T0_MS + 2000
CONFIRMED = Confirmed(T0_MS, full_ms=T0_MS, image=IMAGE, loaded_ms=LOADED_MS)
# The listing of T0_MS is the first one that certainly shows this change.
HINT = Hint(SCOPE, "base", T0_MS - LAG_MS)
LATER = replace(HINT, at_ms=T0_MS - LAG_MS + 1)


def resting(
    *hints: Hint,
    confirmed: Confirmed | None = CONFIRMED,
    allowed: bool = True,
    times: Mapping[Scope, ImageTimes] | None = None,
    since_ms: int | None = LOADED_MS - 1,
) -> Rest:
    """The rules for one stream, which is confirmed for an hour."""
    return Rest(
        allowed=allowed,
        by_image_time=times is not None,
        trust_ms=HOUR_MS,
        reconcile_every_ms=HOUR_MS,
        confirmations=Confirmations({} if confirmed is None else {STREAM: confirmed}, times or {}),
        hints=by_image(hints),
        since_ms=since_ms,
    )


@pytest.mark.parametrize("known", [KNOWN, LARGE, replace(LARGE, live_versions=99, last_full_at_ms=None)])
@pytest.mark.parametrize(
    "hints", [(), (HINT,), (replace(LATER, image="other"),), (replace(LATER, scope=ELSEWHERE),)]
)
def test_stream_that_was_confirmed_rests(known: StreamKnowledge, hints: tuple[Hint, ...]) -> None:
    """A confirmed stream rests until the end of its trust; settled hints and hints at other images do not wake it."""
    assert resting(*hints).may(STREAM, known, IMAGE, now_ms=NOW_MS)


@pytest.mark.parametrize("since_ms", [None, LOADED_MS])
def test_stream_does_not_rest_on_a_listing_from_before_its_hints_were_heard(since_ms: int | None) -> None:
    """Hints about later changes may be gone; with images' own times, there is nothing that could be gone."""
    assert not resting(since_ms=since_ms).may(STREAM, KNOWN, IMAGE, now_ms=NOW_MS)
    times = {SCOPE: ImageTimes(shown=3)}
    assert resting(times=times, since_ms=since_ms).may(STREAM, KNOWN, IMAGE, now_ms=NOW_MS)


def test_rules_of_a_scope_have_the_instant_of_its_source() -> None:
    """The instant is that of the scope, the mailbox and the images."""
    entry = Heard(SCOPE.account_id, SCOPE.region, source_of("/hints", ImageFilter()), 7)
    rest = replace(resting(), mailbox="/hints", heard=(entry,))
    assert rest.heard_in(SCOPE, ImageFilter()).since_ms == 7
    assert rest.heard_in(ELSEWHERE, ImageFilter()).since_ms is None
    assert rest.heard_in(SCOPE, ImageFilter(exclude=("a",))).since_ms is None


@pytest.mark.parametrize(
    "known",
    [
        None,
        replace(KNOWN, image_live=False),
        replace(KNOWN, watermark_ms=None),
        replace(KNOWN, held_back=1),
        replace(KNOWN, image_created_ms=CREATED_MS + 1),
        replace(LARGE, last_full_at_ms=None),
        replace(LARGE, last_full_at_ms=NOW_MS - HOUR_MS - 1),
    ],
    ids=str,
)
def test_what_is_known_of_a_stream_may_wake_it(known: StreamKnowledge | None) -> None:
    """A stream does not rest if it is unknown, lost its image, has no watermark, or has held-back or due work."""
    assert not resting().may(STREAM, known, IMAGE, now_ms=NOW_MS)


@pytest.mark.parametrize(
    "confirmed",
    [
        None,
        replace(CONFIRMED, t0_ms=None),
        replace(CONFIRMED, image=(CREATED_MS, MODIFIED_MS - 1, "CREATED")),
        replace(CONFIRMED, image=None),
        replace(CONFIRMED, passing=True),
    ],
    ids=str,
)
def test_what_is_not_confirmed_wakes_a_stream(confirmed: Confirmed | None) -> None:
    """A stream does not rest if no listing was accepted, if its image has changed, or in a passing status."""
    assert not resting(confirmed=confirmed).may(STREAM, KNOWN, IMAGE, now_ms=NOW_MS)


def test_nobody_rests_beyond_trust_or_where_hints_are_not_relied_on() -> None:
    """A stream may rest up to the end of its trust, and not after it; without usable hints no stream rests."""
    assert not resting().may(STREAM, KNOWN, IMAGE, now_ms=NOW_MS + 1)
    assert not resting(allowed=False).may(STREAM, KNOWN, IMAGE, now_ms=NOW_MS)
    assert resting().confirmed_ms(STREAM) == T0_MS


@pytest.mark.parametrize("hint", [LATER, replace(HINT, at_ms=None)], ids=["later", "without-a-time"])
def test_hint_that_is_not_settled_wakes_its_image(hint: Hint) -> None:
    """A hint that is not settled wakes its image, whatever the case of the name."""
    rest = resting(HINT, hint)
    assert not rest.may(STREAM, KNOWN, IMAGE, now_ms=NOW_MS)
    assert rest.pending_hints(STREAM, KNOWN) == (hint,)


def test_every_hint_at_a_stream_that_nobody_knows_is_pending() -> None:
    """A hint at a stream is pending if the stream is unknown, was never listed, or had no accepted listing."""
    assert resting(HINT).pending_hints(STREAM, None) == (HINT,)
    assert resting(HINT, confirmed=None).pending_hints(STREAM, KNOWN) == (HINT,)
    assert resting(HINT, confirmed=replace(CONFIRMED, t0_ms=None)).pending_hints(STREAM, KNOWN) == (HINT,)
    gone = replace(HINT, deletes=True)
    assert resting(gone, confirmed=replace(CONFIRMED, t0_ms=None)).pending_hints(STREAM, LARGE) == (gone,)
    assert resting().pending_hints(STREAM, None) == ()


@pytest.mark.parametrize(
    ("live_versions", "full_ms", "deletes", "pending"),
    [
        (99, None, True, False),
        (100, None, False, False),
        (100, None, True, True),
        (100, T0_MS - 1, True, True),
        (100, T0_MS, True, False),
        (101, T0_MS - 1, True, True),
    ],
)
def test_deletion_from_a_large_image_is_settled_by_a_full_listing(
    live_versions: int, full_ms: int | None, deletes: bool, pending: bool
) -> None:
    """Only a full listing settles a deletion from an image larger than a page; otherwise any listing does."""
    hint = replace(HINT, deletes=deletes)
    rest = resting(hint, confirmed=replace(CONFIRMED, full_ms=full_ms))
    assert rest.pending_hints(STREAM, replace(KNOWN, live_versions=live_versions)) == (
        (hint,) if pending else ()
    )


@pytest.mark.parametrize(
    ("times", "modified_ms", "expected"),
    [
        (ImageTimes(shown=3), MODIFIED_MS, True),
        (ImageTimes(shown=4), MODIFIED_MS, True),
        (ImageTimes(shown=2), MODIFIED_MS, False),
        (ImageTimes(shown=3, contradicted=1), MODIFIED_MS, False),
        (None, MODIFIED_MS, False),
        (ImageTimes(shown=3), MODIFIED_MS + 1, False),
    ],
)
def test_image_rests_by_its_own_time_where_that_is_proved(
    times: ImageTimes | None, modified_ms: int, expected: bool
) -> None:
    """An image rests by its own time if three images confirm this, none contradicts it, and the listing is later."""
    image = (CREATED_MS, modified_ms, "CREATED")
    proofs = {} if times is None else {SCOPE: times}
    rest = resting(confirmed=replace(CONFIRMED, image=image), times=proofs)
    assert rest.may(STREAM, KNOWN, image, now_ms=NOW_MS) is expected


def everything(_: str) -> bool:
    """Accept all images."""
    return True


def ledger(
    *,
    known: StreamKnowledge = KNOWN,
    wanted: Callable[[str], bool] | None = everything,
    listed: Mapping[Scope, int] | None = None,
    complete: bool = True,
    confirmed: Mapping[Stream, Confirmed] | None = None,
) -> Ledger:
    """The state of one stream after a run."""
    return Ledger(
        Confirmations({STREAM: CONFIRMED} if confirmed is None else confirmed),
        {STREAM: known},
        {} if wanted is None else {SCOPE: wanted},
        listed or {},
        complete,
        100,
    )


def test_hint_is_settled_by_the_listing_that_shows_it() -> None:
    """A hint is settled by a listing that began late enough, and not by the list of images if the image exists."""
    assert ledger().settled(HINT)
    assert not ledger(listed={SCOPE: T0_MS + HOUR_MS}).settled(LATER)
    assert not ledger(confirmed={}, listed={SCOPE: T0_MS + HOUR_MS}).settled(HINT)


def test_hint_at_two_images_that_differ_in_case_needs_both() -> None:
    """A hint whose name fits two images is settled only if the listings of both are late enough."""
    other = Stream(SCOPE, "base")
    both = replace(ledger(), known={STREAM: KNOWN, other: KNOWN}, _names={})
    assert not both.settled(HINT)
    confirmed = Confirmations({STREAM: CONFIRMED, other: CONFIRMED})
    assert replace(both, confirmations=confirmed, _names={}).settled(HINT)


@pytest.mark.parametrize("known", [KNOWN, replace(KNOWN, image_live=False)], ids=["not-wanted", "gone"])
@pytest.mark.parametrize(("listed_ms", "expected"), [(None, False), (T0_MS - 1, False), (T0_MS, True)])
def test_hint_at_no_image_of_ours_is_settled_by_the_list_of_images(
    known: StreamKnowledge, listed_ms: int | None, expected: bool
) -> None:
    """A hint at an image that is deleted or not configured is settled by a later list of images."""
    listed = {} if listed_ms is None else {SCOPE: listed_ms}
    wanted = everything if not known.image_live else lambda name: name != "Base"
    told = ledger(
        known=known, wanted=wanted, listed=listed, confirmed={STREAM: replace(CONFIRMED, t0_ms=None)}
    )
    assert told.settled(HINT) is expected


@pytest.mark.parametrize("complete", [True, False])
def test_hint_at_a_scope_that_is_not_read_is_settled_by_a_run_of_everything(complete: bool) -> None:
    """Only a run of the whole configuration settles a hint at a scope that is not configured."""
    assert ledger(wanted=None, complete=complete).settled(HINT) is complete
