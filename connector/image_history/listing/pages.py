"""What a page adds to a listing, and up to which instant an accepted listing has read.

Pure: folds pages into a checkpoint; must not know calls, threads or files. Each page was validated before
(aws/bodies.py); this module compares it with the pages before it. verdict.py decides whether a listing that was read
to its end is accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from operator import ge, lt

from image_history.aws.bodies import ImageVersion, epoch_ms
from image_history.errors import SkippableError
from image_history.model import (
    PASSING_STATUSES,
    Absence,
    Checkpoint,
    Drift,
    ListingKind,
    ListingRequest,
    Outcome,
    PlannedStream,
)

MAX_READINGS = 5
# A service that filters rows after it made pages may send many empty pages. With so many in a row, a list has no end.
MOST_EMPTY_PAGES = 1000
_DAY_MS = 24 * 3600 * 1000
# A Date has whole seconds, so it may differ from the exact time by up to a second.
MARGIN_MS = 1000


@dataclass(frozen=True, slots=True)
class PageRead:
    """One page, or the verdict on a listing: the rows to keep, the checkpoint after them, and the proved absences."""

    rows: Sequence[ImageVersion]
    checkpoint: Checkpoint
    absences: tuple[Absence, ...] = ()
    drift: tuple[Drift, ...] = ()


# Takes each page; must be safe to call from many threads.
Sink = Callable[[PageRead], None]


def begin(planned: PlannedStream) -> Checkpoint:
    """The checkpoint of a listing before its first page."""
    return Checkpoint(planned.stream, planned.request)


def read_again(checkpoint: Checkpoint, request: ListingRequest | None = None) -> Checkpoint:
    """Start the listing over, optionally with another request. Its rows stay landed; its token is dropped.

    The T0 of a reading that came to its end without a contradiction is kept, because the next reading may agree with
    it. It is not kept if the request changes: an incremental listing lacks the versions that did not change, so that
    agreement with it proves nothing about a full one.
    """
    comparable = checkpoint.outcome is Outcome.READ and request in {None, checkpoint.request}
    return Checkpoint(
        checkpoint.stream,
        request if request is not None else checkpoint.request,
        reading=checkpoint.reading + 1,
        t0_before_ms=checkpoint.t0_ms if comparable else None,
    )


def ended(checkpoint: Checkpoint, outcome: Outcome, error: SkippableError | Exception) -> Checkpoint:
    """The checkpoint of a listing that ends without proof, so that the watermark does not move."""
    code = getattr(error, "context", {}).get("code") or type(error).__name__
    return replace(
        checkpoint, outcome=outcome, next_token=None, error_code=str(code), error_message=str(error)
    )


def advance(
    checkpoint: Checkpoint, rows: Sequence[ImageVersion], next_token: str | None, *, date_ms: int
) -> PageRead | None:
    """Fold one page into the checkpoint. None if its rows are not in order after those of the pages before it.

    `date_ms` is the server's Date of the page (UTC epoch milliseconds). An empty page with a token is not the end.
    The listing ends with a page without a token, or, if it is incremental, with the first row older than its start.
    """
    if not _in_order(checkpoint, rows):
        return None
    kept, reached_start = _within(checkpoint, rows)
    done = next_token is None or reached_start
    t0_ms = checkpoint.t0_ms if checkpoint.t0_ms is not None else date_ms - MARGIN_MS
    folded = _folded(checkpoint, kept, held_since_ms=t0_ms - _DAY_MS)
    return PageRead(
        kept,
        replace(
            folded,
            outcome=Outcome.READ if done else Outcome.READING,
            next_token=None if done else next_token,
            pages=checkpoint.pages + 1,
            empty_tail=done and checkpoint.rows > 0 and not rows,
            t0_ms=t0_ms,
            t1_ms=_most(checkpoint.t1_ms, date_ms + MARGIN_MS),
        ),
    )


def _in_order(checkpoint: Checkpoint, rows: Sequence[ImageVersion]) -> bool:
    if checkpoint.request.kind is ListingKind.FULL:
        before = checkpoint.last_version if checkpoint.last_version is not None else -1
        numbers = [row.Version for row in rows]
        return all(map(lt, [before, *numbers], numbers))
    times = [epoch_ms(row.LastModifiedTime) for row in rows]
    if checkpoint.last_modified_ms is not None:
        times.insert(0, checkpoint.last_modified_ms)
    newest_first = all(map(ge, times, times[1:]))
    return newest_first and len({row.Version for row in rows}) == len(rows)


def _within(checkpoint: Checkpoint, rows: Sequence[ImageVersion]) -> tuple[Sequence[ImageVersion], bool]:
    since_ms = checkpoint.request.since_ms
    if since_ms is None or not rows or epoch_ms(rows[-1].LastModifiedTime) >= since_ms:
        return rows, False
    return [row for row in rows if epoch_ms(row.LastModifiedTime) >= since_ms], True


def _folded(checkpoint: Checkpoint, rows: Sequence[ImageVersion], *, held_since_ms: int) -> Checkpoint:
    """Add rows to the checkpoint.

    A version that has been CREATING or DELETING since before `held_since_ms` does not hold back the watermark.
    """
    if not rows:
        return checkpoint
    passing = [epoch_ms(row.LastModifiedTime) for row in rows if row.ImageVersionStatus in PASSING_STATUSES]
    numbers = [row.Version for row in rows]
    return replace(
        checkpoint,
        rows=checkpoint.rows + len(rows),
        newest_ms=_most(checkpoint.newest_ms, epoch_ms(max(row.LastModifiedTime for row in rows))),
        held_ms=_least(checkpoint.held_ms, [modified for modified in passing if modified > held_since_ms]),
        last_version=numbers[-1],
        last_modified_ms=epoch_ms(rows[-1].LastModifiedTime),
        highest_version=_most(checkpoint.highest_version, max(numbers)),
        lowest_version=_least(checkpoint.lowest_version, numbers),
        oldest_ms=_least(checkpoint.oldest_ms, [epoch_ms(min(row.CreationTime for row in rows))]),
    )


def _most(before: int | None, now: int) -> int:
    return now if before is None else max(before, now)


def _least(before: int | None, now: Sequence[int]) -> int | None:
    return min([*now, *([] if before is None else [before])], default=None)


def watermark_ms(checkpoint: Checkpoint) -> int | None:
    """The instant up to which every change has been read, UTC epoch milliseconds; None if the listing proves nothing.

    It is the newest LastModifiedTime that was read, but not after T0: a time in the future would hide changes from
    later runs. It is also not after the LastModifiedTime of a version that is still CREATING or DELETING, for at most
    a day.
    """
    if checkpoint.outcome is not Outcome.COMPLETE or checkpoint.newest_ms is None or checkpoint.t0_ms is None:
        return None
    reached = min(checkpoint.newest_ms, checkpoint.t0_ms)
    return reached if checkpoint.held_ms is None else min(reached, checkpoint.held_ms)
