"""How many calls a planned run takes if nothing changed, and how long they take at the configured rates.

Pure; must not know AWS clients, files, SQL, or how it is shown. The estimate assumes that nothing changed at AWS
since each image was last listed in the same way, except what the lists of images show. A number that is unknown
even so is a range with a reason; a caveat says why a number may turn out higher.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from image_history.listing.verdict import FEW_SUSPECTS, Step
from image_history.model import (
    Checkpoint,
    ListingKind,
    Outcome,
    PlannedStream,
    Scope,
    Stream,
    StreamKnowledge,
)

OPERATIONS = ("ListImages", "ListImageVersions", "DescribeImage", "DescribeImageVersion")
# Called only with `details`.
ALIASES = "ListAliases"
# How long one call takes; measured for AWS's list calls.
LATENCY_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class Span:
    """From `low` to `high` calls, both inclusive; `high` is None if there is no known bound."""

    low: int
    high: int | None

    @classmethod
    def of(cls, number: int) -> Span:
        """Exactly this number."""
        return cls(number, number)

    def __add__(self, other: Span) -> Span:
        unbounded = self.high is None or other.high is None
        return Span(self.low + other.low, None if unbounded else (self.high or 0) + (other.high or 0))

    @property
    def exact(self) -> bool:
        """Whether it is one number."""
        return self.low == self.high


NONE = Span.of(0)


class Listing(StrEnum):
    """Why a stream is listed, and how."""

    NEW = "new"
    ONE_PAGE = "one page"
    INCREMENTAL = "incremental"
    RECONCILE = "reconcile"
    FULL = "full"
    VANISHED = "vanished"
    DONE = "done"
    REST = "at rest"


class Reason(StrEnum):
    """Why a number of calls is a range, or may turn out higher."""

    NEW = "the number of versions is unknown until they are listed: each page is a call"
    RECREATED = "deleted and created again: the number of new versions is unknown"
    UNREAD = "never read whole: there may be more versions than are stored"
    UNEXPLAINED = "version numbers are unaccounted for: DescribeImageVersion or a second reading settles them"
    LOCKED = "the warehouse is locked: how many versions changed lately is unknown"
    WAITING = "rows in the landing folder are not loaded yet; the kind of listing is decided after their load"
    UNSETTLED = "already read, but not settled: missing versions are looked up, or a second reading is made"
    READ_AGAIN = "a first reading left questions open: readings are repeated until two agree"
    HELD_BACK = "the mass-delete breaker may hold deletions back: how much is looked up depends on it"
    DETAILS = "which details are pending is unknown until the warehouse can be read"
    ALIASES = (
        "if an alias has moved to a version that was never looked up, the earlier one is looked up again"
    )
    DELETIONS = (
        "versions that were deleted since the last whole listing cost a DescribeImageVersion each, and many "
        "of them a second reading"
    )


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one stream beyond its plan.

    `listed`: the stream is in its scope's list of images. `recreated`: that list shows another CreationTime than
    when the stream was last listed whole, or it never was. `waiting`: rows of the stream wait to be loaded;
    `may_rest` says that the stream may rest after that. `recent` and `unexplained` are as in `LargeStream`, None if
    they could not be looked up. `tripped` says that the mass-delete breaker holds back all deletions of the scope;
    None if unknown. `mark` is how far an unfinished run has read the stream; `tokens_live` says that the run may
    continue from there. `step` is what a listing that was read to its end needs next, None if it was not
    compared with the warehouse.
    """

    known: StreamKnowledge | None
    listed: bool = True
    recreated: bool = False
    waiting: bool = False
    may_rest: bool = False
    recent: int | None = None
    unexplained: int | None = None
    tripped: bool | None = False
    mark: Checkpoint | None = None
    tokens_live: bool = True
    step: Step | None = None


@dataclass(frozen=True, slots=True)
class StreamEstimate:
    """The calls that one stream takes: `reason` says why they are a range, `caveat` why they may be more.

    `descriptions` and `aliases` are the calls for the stream's pending details; `paired` says that each version with
    pending details lacks both.
    """

    stream: Stream
    listing: Listing
    list_versions: Span
    describe_image: Span = NONE
    describe_version: Span = NONE
    reason: Reason | None = None
    caveat: Reason | None = None
    descriptions: Span = NONE
    aliases: Span = NONE
    paired: bool = True


@dataclass(frozen=True, slots=True)
class Pace:
    """The configured pace: calls per second in one scope, and how many streams are read at a time."""

    list_per_second: float
    describe_per_second: float
    concurrency: int


@dataclass(frozen=True, slots=True)
class Seconds:
    """The shortest and the longest duration; `high` is None if there is no known bound."""

    low: float
    high: float | None


@dataclass(frozen=True, slots=True)
class DetailCalls:
    """Calls for details: DescribeImageVersion, and ListAliases. `paired`: each version with any needs both."""

    descriptions: Span = NONE
    aliases: Span = NONE
    paired: bool = True

    @property
    def total(self) -> Span:
        """Both together."""
        return self.descriptions + self.aliases


@dataclass(frozen=True, slots=True)
class ScopeFacts:
    """The facts about a scope as a whole: the calls for its list of images and for details."""

    list_images: int
    details: DetailCalls = field(default_factory=DetailCalls)


@dataclass(frozen=True, slots=True)
class ScopeEstimate:
    """The calls of one scope, by operation, and its streams by the way they are listed."""

    scope: Scope
    listings: Mapping[Listing, int]
    calls: Mapping[str, Span]
    seconds: Seconds
    reasons: Mapping[Reason, tuple[str, ...]] = field(default_factory=dict)
    caveats: Mapping[Reason, tuple[str, ...]] = field(default_factory=dict)


def estimate_stream(planned: PlannedStream, facts: Facts, *, full: bool = False) -> StreamEstimate:
    """The calls of one planned stream. `full` says that the sync lists every image in full."""
    whole = _whole(planned, facts, full=full)
    return whole if facts.mark is None else _left(whole, facts.mark, facts)


def estimate_resting(stream: Stream, *, waiting: bool, fixed: bool) -> StreamEstimate:
    """The calls of an image that rests; loading waiting rows of it may end its rest, unless its plan is `fixed`."""
    if waiting and not fixed:
        return StreamEstimate(stream, Listing.REST, *_OPEN, Reason.WAITING)
    return StreamEstimate(stream, Listing.REST, NONE)


def _whole(planned: PlannedStream, facts: Facts, *, full: bool) -> StreamEstimate:
    stream, known = planned.stream, facts.known
    if facts.waiting:
        return _after_waiting(planned, facts, full=full)
    if known is None:
        return StreamEstimate(stream, Listing.NEW, *_ANYTHING, Reason.NEW)
    if not facts.listed:
        # ListImageVersions finds no image, and DescribeImage confirms that it is gone.
        return StreamEstimate(stream, Listing.VANISHED, Span.of(1), Span.of(1))
    if facts.recreated:
        unread = known.image_created_ms is None
        return StreamEstimate(stream, Listing.NEW, *_ANYTHING, Reason.UNREAD if unread else Reason.RECREATED)
    if planned.request.kind is ListingKind.INCREMENTAL:
        return _incremental(planned, known, facts)
    listed = _held_back if known.held_back else _full
    return listed(planned, known, facts, full=full)


def _after_waiting(planned: PlannedStream, facts: Facts, *, full: bool) -> StreamEstimate:
    """The loaded rows may show that an image may rest, or that it is gone already."""
    if not facts.listed:
        at_most = Span(0, 1)
        return StreamEstimate(planned.stream, Listing.VANISHED, at_most, at_most, reason=Reason.WAITING)
    listing = _listing(planned, facts.known, full=full)
    calls = _OPEN if facts.may_rest else _ANYTHING
    return StreamEstimate(planned.stream, listing, *calls, Reason.WAITING)


def _held_back(planned: PlannedStream, known: StreamKnowledge, facts: Facts, *, full: bool) -> StreamEstimate:
    """The pages of the versions that AWS still has; if the breaker trips again, nothing is looked up."""
    listing, least = _listing(planned, known, full=full), _pages(planned, known)
    if facts.tripped:
        return StreamEstimate(planned.stream, listing, Span.of(least))
    unexplained = facts.unexplained or 0
    most = 2 * _pages(planned, known, unexplained)
    describes = Span(0, known.held_back + unexplained)
    return StreamEstimate(planned.stream, listing, Span(least, most), NONE, describes, Reason.HELD_BACK)


# The calls of ListImageVersions, DescribeImage and DescribeImageVersion, if it is not known how many.
_ANYTHING = (Span(1, None), NONE, Span(0, None))
_OPEN = (Span(0, None), NONE, Span(0, None))


def _listing(planned: PlannedStream, known: StreamKnowledge | None, *, full: bool) -> Listing:
    if known is None:
        return Listing.NEW
    if planned.request.kind is ListingKind.INCREMENTAL:
        return Listing.INCREMENTAL
    if known.live_versions - known.held_back < planned.request.page_size:
        return Listing.ONE_PAGE
    return Listing.FULL if full else Listing.RECONCILE


def _pages(planned: PlannedStream, known: StreamKnowledge, more: int = 0) -> int:
    """The pages of all versions that AWS has as far as is known, and of so many more."""
    there = known.live_versions - known.held_back + more
    return max(1, -(-there // planned.request.page_size))


def _readings(pages: int) -> int:
    """The pages that are read of an incremental listing: twice if there are several, see verdict.py."""
    return pages if pages == 1 else 2 * pages


def _full(planned: PlannedStream, known: StreamKnowledge, facts: Facts, *, full: bool) -> StreamEstimate:
    stream, pages = planned.stream, _pages(planned, known)
    listing = _listing(planned, known, full=full)
    if known.watermark_ms is None and known.live_versions:
        return StreamEstimate(stream, listing, Span(pages, None), NONE, Span(0, None), Reason.UNREAD)
    if pages == 1:
        return StreamEstimate(stream, listing, Span.of(1))
    if facts.unexplained == 0:
        return StreamEstimate(stream, listing, Span.of(pages), caveat=Reason.DELETIONS)
    if facts.unexplained is None:
        return StreamEstimate(
            stream, listing, Span(pages, 2 * pages), NONE, Span(0, pages - 1), Reason.LOCKED
        )
    most = _pages(planned, known, facts.unexplained)
    # Looked up one by one only if the pages of a second reading would be more, see verdict.py.
    describes = Span(0, min(facts.unexplained, most - 1))
    return StreamEstimate(stream, listing, Span(pages, 2 * most), NONE, describes, Reason.UNEXPLAINED)


def _incremental(planned: PlannedStream, known: StreamKnowledge, facts: Facts) -> StreamEstimate:
    """One page, unless more changed since the listing's start.

    Unexplained numbers may be listed after all, may be looked up one by one, or may cause a full listing.
    """
    stream, size, all_pages = planned.stream, planned.request.page_size, _pages(planned, known)
    if facts.recent is None:
        return StreamEstimate(
            stream, Listing.INCREMENTAL, Span(1, _readings(all_pages)), reason=Reason.LOCKED
        )
    least = _readings(min(facts.recent // size + 1, all_pages))
    if not facts.unexplained:
        return StreamEstimate(stream, Listing.INCREMENTAL, Span.of(least))
    most = _pages(planned, known, facts.unexplained)
    newest = _readings(min((facts.recent + facts.unexplained) // size + 1, most))
    describes = Span(0, min(facts.unexplained, max(FEW_SUSPECTS, most - 1)))
    lists = Span(least, newest + 2 * most)
    return StreamEstimate(stream, Listing.INCREMENTAL, lists, NONE, describes, Reason.UNEXPLAINED)


def _left(whole: StreamEstimate, mark: Checkpoint, facts: Facts) -> StreamEstimate:
    """The calls that are left for a stream that an unfinished run has begun."""
    # MISSING was confirmed by DescribeImage already, and a listing that is accepted as it is needs no call.
    if mark.finished or mark.outcome is Outcome.MISSING or _is_accepted(mark, facts):
        return StreamEstimate(whole.stream, Listing.DONE, NONE)
    if mark.outcome is Outcome.READ:
        return StreamEstimate(whole.stream, whole.listing, *_OPEN, Reason.UNSETTLED)
    if mark.reading > 1:
        return StreamEstimate(whole.stream, whole.listing, *_ANYTHING, Reason.READ_AGAIN)
    if not facts.tokens_live or mark.next_token is None:
        return whole
    low, high = whole.list_versions.low, whole.list_versions.high
    least = max(1, low - mark.pages)
    return replace(whole, list_versions=Span(least, None if high is None else max(least, high - mark.pages)))


def _is_accepted(mark: Checkpoint, facts: Facts) -> bool:
    return mark.outcome is Outcome.READ and facts.step is Step.ACCEPT


def estimate_scope(
    scope: Scope, facts: ScopeFacts, streams: Sequence[StreamEstimate], pace: Pace
) -> ScopeEstimate:
    """The estimate of one scope: the sums of its streams, and the calls for the scope as a whole."""
    details = facts.details
    calls = dict(
        zip(
            OPERATIONS,
            (
                Span.of(facts.list_images),
                sum((each.list_versions for each in streams), start=NONE),
                sum((each.describe_image for each in streams), start=NONE),
                sum((each.describe_version for each in streams), start=details.descriptions),
            ),
            strict=True,
        )
    )
    if details.aliases != NONE:
        calls[ALIASES] = details.aliases
    return ScopeEstimate(
        scope=scope,
        listings=dict(Counter(each.listing for each in streams)),
        calls=calls,
        seconds=_scope_seconds(calls, pace),
        reasons=_images_by([(each.reason, each.stream.image_name) for each in streams]),
        caveats=_images_by([(each.caveat, each.stream.image_name) for each in streams]),
    )


def _images_by(pairs: Iterable[tuple[Reason | None, str]]) -> Mapping[Reason, tuple[str, ...]]:
    found: dict[Reason, list[str]] = {}
    for reason, image_name in pairs:
        if reason is not None:
            found.setdefault(reason, []).append(image_name)
    return {reason: tuple(images) for reason, images in found.items()}


def total_calls(scopes: Iterable[ScopeEstimate]) -> Mapping[str, Span]:
    """The calls of all scopes, by operation."""
    found = list(scopes)
    called = [name for name in (*OPERATIONS, ALIASES) if any(name in scope.calls for scope in found)]
    return {
        name: sum((scope.calls.get(name, NONE) for scope in found), start=NONE)
        for name in called or OPERATIONS
    }


def total_seconds(scopes: Sequence[ScopeEstimate], pace: Pace) -> Seconds:
    """Scopes are read in parallel: the slowest scope decides, or the number of calls that can run at a time."""
    calls = sum(total_calls(scopes).values(), start=NONE)
    low = max([calls.low * LATENCY_SECONDS / pace.concurrency, *(scope.seconds.low for scope in scopes)])
    highs = [scope.seconds.high for scope in scopes if scope.seconds.high is not None]
    if calls.high is None or len(highs) < len(scopes):
        return Seconds(low, None)
    return Seconds(low, max([calls.high * LATENCY_SECONDS / pace.concurrency, *highs]))


def _scope_seconds(calls: Mapping[str, Span], pace: Pace) -> Seconds:
    lists = calls["ListImages"] + calls["ListImageVersions"] + calls.get(ALIASES, NONE)
    describes = calls["DescribeImage"] + calls["DescribeImageVersion"]
    low = _paced(lists.low, pace.list_per_second) + _paced(describes.low, pace.describe_per_second)
    if lists.high is None or describes.high is None:
        return Seconds(low, None)
    high = _paced(lists.high, pace.list_per_second) + _paced(describes.high, pace.describe_per_second)
    return Seconds(low, high)


def _paced(calls: int, per_second: float) -> float:
    """Seconds from the first call's start to the last one's answer."""
    return (calls - 1) / per_second + LATENCY_SECONDS if calls else 0.0
