"""One full listing read by several chains side by side: windows of creation time.

Pure decisions and folds over a checkpoint; must not know calls, threads or files. Every window goes by
version number and ends where it meets the number that the next one began with. So its instant needs not be
exact, nor does it matter whether AWS takes that inclusively: what two windows lose between them is missing
between two numbers, which settling sees as in any listing. The first window is the listing's own chain,
without a filter; the last is one page, newest first, which is the end of the list.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from itertools import pairwise

from image_history.aws.bodies import ImageVersion, epoch_ms
from image_history.listing.pages import PageRead, advance
from image_history.model import Checkpoint, Outcome, Place, Window

_SECOND_MS = 1000


@dataclass(frozen=True, slots=True)
class Bounds:
    """When windows are worth their calls: where two of them meet, a part of a page is read twice.

    They begin once `after_pages` pages were read and others follow. None is split that has less than
    `least_pages` left, a half of which is still several calls long. To each split there are `pages_a_split`
    pages of the listing, which half a page wasted makes 2.5 % dearer; and there are `most` at the most, since every
    checkpoint holds them all.
    """

    after_pages: int = 12
    least_pages: int = 8
    pages_a_split: int = 20
    most: int = 64

    def splits(self, pages: float) -> int:
        """How many splits a listing of so many pages may have."""
        return min(self.most, int(pages / self.pages_a_split))


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Split:
    """A window to be: what was created after `after_ms`, which is thought to begin with version `number`."""

    number: int
    after_ms: int


class Misfit(Enum):
    """Why an answer begins no window."""

    # Rows that the filter should have kept back, or a page that it left with gaps: AWS does not filter, or
    # not before it pages. Then a window costs as much as the whole listing.
    UNFILTERED = "not filtered before paging"
    # The window that it would have halved is read beyond it, or nothing was created in the later half.
    ELSEWHERE = "in no window that is left"


def wanted(checkpoint: Checkpoint, bounds: Bounds = BOUNDS) -> bool:
    """Whether a listing is so long that windows are to begin.

    After a reading that contradicted itself, or whose token was refused, one chain is the simplest.
    """
    return (
        checkpoint.request.may_split
        and checkpoint.readable
        and not checkpoint.windows
        and (checkpoint.reading == 1 or checkpoint.t0_before_ms is not None)
        and checkpoint.pages >= bounds.after_pages
    )


def opened(
    checkpoint: Checkpoint, last_rows: Sequence[ImageVersion], newest: Sequence[ImageVersion], *, date_ms: int
) -> PageRead | None:
    """Begin windows: the chain that was read so far, and the end of the list; None if they don't fit.

    `last_rows` are the chain's last page, and `newest` a page of the unfiltered list, newest first. It takes the
    place of the chain's last page, so that it costs no call more. What is created after it has a creation
    time after T0: it is the next run's.
    """
    reached = _last(last_rows)
    rising = newest[::-1]
    rows = [row for row in rising if reached is not None and row.Version > reached.version]
    if reached is None or not rows or not _rise(rising):
        return None
    step = advance(checkpoint, rows, None, date_ms=date_ms)
    chain = Window(_place(last_rows[0]), reached, next_token=checkpoint.next_token)
    end = Window(_place(rows[0]), _place(rows[-1]))
    return None if step is None else _folded(step, (chain, end))


def split(checkpoint: Checkpoint, pending: Iterable[Split] = (), bounds: Bounds = BOUNDS) -> Split | None:
    """The later half of the largest stretch of numbers that is left; None if all are too small.

    `pending` are splits that were tried and not answered yet.
    """
    tried = tuple(pending)
    size, density = checkpoint.request.page_size, _density(checkpoint)
    numbers = checkpoint.windows[-1].reached.version - (checkpoint.lowest_version or 0)
    if len(checkpoint.windows) - 2 + len(tried) >= bounds.splits(numbers * density / size):
        return None
    spans = [
        span
        for window, following in pairwise(checkpoint.windows)
        if window.next_token is not None
        for span in _spans(window.reached, following.first, tried)
    ]
    halves = [(span.high - span.low, half) for span in spans if (half := span.half(size)) is not None]
    width, half = max(halves, key=lambda each: each[0], default=(0, None))
    return half if width * density > bounds.least_pages * size else None


def _density(checkpoint: Checkpoint) -> float:
    """How many of the numbers that were passed have a version: the others were deleted."""
    windows = checkpoint.windows
    before = windows[0].first.version - (checkpoint.lowest_version or 0)
    passed = before + sum(window.reached.version - window.first.version + 1 for window in windows)
    return min(1.0, checkpoint.rows / passed)


@dataclass(frozen=True, slots=True)
class _Span:
    """Numbers above `low` and below `high`, of the stretch from one known version to another."""

    low: int
    high: int
    known: tuple[Place, Place]

    def half(self, page_size: int) -> Split | None:
        """Where to begin in the middle, whole pages above `low`; None where a second cannot tell."""
        number = self.low + 1 + (self.high - self.low) // page_size // 2 * page_size
        first, last = self.known
        share = (number - first.version) / (last.version - first.version)
        created_ms = first.created_ms + share * (last.created_ms - first.created_ms)
        after_ms = int(created_ms) // _SECOND_MS * _SECOND_MS
        return Split(number, after_ms) if after_ms > first.created_ms else None


def _spans(low: Place, high: Place, tried: Iterable[Split]) -> Iterator[_Span]:
    between = sorted(each.number for each in tried if low.version < each.number < high.version)
    for first, last in pairwise([low.version, *between, high.version]):
        yield _Span(first, last, (low, high))


def begun(
    checkpoint: Checkpoint, half: Split, rows: Sequence[ImageVersion], next_token: str | None, *, date_ms: int
) -> PageRead | Misfit:
    """Put a new window in its place by the first page of it. The one before it now ends where it begins."""
    whole = next_token is None or len(rows) == checkpoint.request.page_size
    filtered = all(epoch_ms(row.CreationTime) >= half.after_ms for row in rows)
    if not rows or not whole or not filtered or not _rise(rows):
        return Misfit.UNFILTERED
    first = _place(rows[0])
    position = sum(window.first.version <= first.version for window in checkpoint.windows) - 1
    before = checkpoint.windows[position]
    if position < 0 or before.next_token is None or first.version <= before.reached.version:
        return Misfit.ELSEWHERE
    following = checkpoint.windows[position + 1]
    kept = _before(rows, following)
    step = advance(replace(checkpoint, last_version=before.reached.version), kept, None, date_ms=date_ms)
    if step is None:
        return Misfit.ELSEWHERE
    window = _ended(Window(first, _place(kept[-1]), half.after_ms, next_token), rows, following)
    windows = list(checkpoint.windows)
    windows[position : position + 1] = [_ended(before, (), window), window]
    return _folded(step, tuple(windows))


def read_on(
    checkpoint: Checkpoint, first: int, rows: Sequence[ImageVersion], next_token: str | None, *, date_ms: int
) -> PageRead | None:
    """Fold one page into the window that begins with version `first`; None if it contradicts that."""
    windows = list(checkpoint.windows)
    position = [window.first.version for window in windows].index(first)
    window, following = windows[position : position + 2]
    kept = _before(rows, following)
    mine = replace(checkpoint, last_version=window.reached.version)
    step = advance(mine, kept, next_token, date_ms=date_ms)
    if step is None or not _rise(rows):
        return None
    reached = _last(kept) or window.reached
    windows[position] = _ended(replace(window, reached=reached, next_token=next_token), rows, following)
    return _folded(step, tuple(windows))


def window_of(checkpoint: Checkpoint, first: int) -> Window:
    """The window that begins with version `first`."""
    return next(window for window in checkpoint.windows if window.first.version == first)


def _ended(window: Window, rows: Sequence[ImageVersion], following: Window) -> Window:
    """The window, without its token if it has met the next one: no number is left between them."""
    last = (
        max(window.reached.version, *(row.Version for row in rows[-1:])) if rows else window.reached.version
    )
    return replace(window, next_token=None) if last + 1 >= following.first.version else window


def _folded(step: PageRead, windows: tuple[Window, ...]) -> PageRead:
    """The step with these windows; the listing is read when nothing is left of any of them."""
    tokens = [window.next_token for window in windows if window.next_token is not None]
    checkpoint = replace(
        step.checkpoint,
        outcome=Outcome.READING if tokens else Outcome.READ,
        next_token=tokens[0] if tokens else None,
        windows=windows if tokens else (),
        empty_tail=False,
    )
    return replace(step, checkpoint=checkpoint)


def _before(rows: Sequence[ImageVersion], following: Window) -> list[ImageVersion]:
    return [row for row in rows if row.Version < following.first.version]


def _rise(rows: Sequence[ImageVersion]) -> bool:
    return all(first.Version < second.Version for first, second in pairwise(rows))


def _last(rows: Sequence[ImageVersion]) -> Place | None:
    return _place(rows[-1]) if rows else None


def _place(row: ImageVersion) -> Place:
    return Place(row.Version, epoch_ms(row.CreationTime))
