"""One listing in windows, read by as many threads as come: who calls for what next, and what has come of it.

Must not know where threads come from, other streams, segments or Arrow.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from image_history.aws.bodies import Answer, ImageVersion, ImageVersionsBody
from image_history.durable.effects import Effect, reach
from image_history.errors import ListingUnstableError, RequestRejectedError
from image_history.extract.calls import ScopeCalls
from image_history.listing.pages import MOST_EMPTY_PAGES, PageRead
from image_history.listing.windows import BOUNDS, Bounds, Misfit, Split, begun, read_on, split, window_of
from image_history.model import Checkpoint, ListingRequest, Stop

logger = logging.getLogger(__name__)

Sink = Callable[[PageRead], None]

# Creation times that lie so unevenly are not worth more calls.
_MOST_MISFITS = 3
_POLL_SECONDS = 0.5


class Seen:
    """What one chain has met: a token or a version that comes again is a contradiction."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._versions: set[int] = set()
        self._empty = 0

    def require_end(self, checkpoint: Checkpoint) -> None:
        """Raise ListingUnstableError for a list that goes on and on without a row."""
        if checkpoint.readable and self._empty >= MOST_EMPTY_PAGES:
            raise ListingUnstableError(
                f"ListImageVersions of {checkpoint.stream} gave {self._empty:,} empty pages in a row: its rows are "
                "kept, its watermark stays, and the next sync reads it again."
            )

    def again(self, token: str | None, rows: Sequence[ImageVersion]) -> bool:
        """Whether the token or one of the rows was met before."""
        numbers = {row.Version for row in rows}
        repeated = token in self._tokens or not self._versions.isdisjoint(numbers)
        self._versions |= numbers
        self._empty = 0 if rows else self._empty + 1
        if token is not None:
            self._tokens.add(token)
        return repeated


@dataclass(frozen=True, slots=True)
class Turn:
    """One call that is next: a page of the window that begins with version `first`, or the try of a split."""

    request: ListingRequest
    next_token: str | None
    first: int = -1
    tried: Split | None = None


class Team(Protocol):
    """Who reads a listing side by side with the thread that has begun it."""

    @property
    def bounds(self) -> Bounds:
        """When windows are worth their calls."""

    def free(self) -> bool:
        """Whether others could come, and the rate would let them call."""

    def join(self, listing: SideBySide) -> None:
        """Have others take part, each with `take` and `step`."""

    def leave(self, listing: SideBySide) -> None:
        """The listing has ended, for whatever reason."""


class Alone:
    """A Team of nobody else."""

    bounds = BOUNDS

    def free(self) -> bool:
        """Nobody comes."""
        return False

    def join(self, listing: SideBySide) -> None:
        """Nobody."""

    def leave(self, listing: SideBySide) -> None:
        """Nobody."""


class SideBySide:
    """A listing in windows. Safe to share between threads; pages go to the sink in the order of checkpoints.

    The first filter that is sent is a trial: until its answer has shown that AWS filters before it pages,
    nobody sends another. When it shows the contrary, the windows that there are, of which one is the plain
    chain, are read to their end, and no more are begun.
    """

    def __init__(self, checkpoint: Checkpoint, sink: Sink, stop: Stop, bounds: Bounds = BOUNDS) -> None:
        self._checkpoint = checkpoint
        self._sink = sink
        self._stop = stop
        self._bounds = bounds
        self._changed = threading.Condition()
        self._seen: dict[int, Seen] = {}
        self._tried: list[Split] = []
        self._trusted = any(window.after_ms is not None for window in checkpoint.windows)
        self._misfits = 0
        self._contradicted = False
        self._failure: BaseException | None = None

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest checkpoint that went to the sink."""
        return self._checkpoint

    @property
    def contradicted(self) -> bool:
        """Whether a window contradicted itself: the listing is to start over."""
        return self._contradicted

    def take(self, *, wait: bool = True) -> Turn | None:
        """What a thread that is free may call for; None if there is nothing for it, or at a stop.

        Waits for the trial of the filter if it has to, and is not told not to.
        """
        with self._changed:
            while not self._ended and not self._stop.requested:
                turn = self._unread() or self._half()
                if turn is not None or not (wait and self._on_trial):
                    return turn
                self._changed.wait(_POLL_SECONDS)
        return None

    def step(self, turn: Turn, calls: ScopeCalls) -> Turn | None:
        """Make the call and take its page in; return the call that follows, None at the window's end.

        Raises what the call and the sink raise.
        """
        try:
            answer = calls.list_image_versions(
                self._checkpoint.stream.image_name, turn.request, turn.next_token
            )
        except RequestRejectedError as error:
            if turn.tried is None:
                raise
            with self._changed:
                self._drop(turn.tried, str(error), last=True)
            return None
        reach(Effect.FETCHED, "ListImageVersions")
        with self._changed:
            following = None if self._ended else self._put(turn, answer)
            self._changed.notify_all()
            return following

    def work(self, calls: ScopeCalls) -> bool:
        """Take part until nothing is left to take; whether anything was.

        What fails ends the listing for all who read it, and is raised by `wait`, in the thread that began.
        """
        turns = 0
        try:
            turn = self.take()
            while turn is not None and not self._stop.requested:
                turns += 1
                turn = self.step(turn, calls) or self.take()
        except BaseException as error:  # noqa: BLE001 - it is raised where the listing is waited for
            with self._changed:
                self._failure = self._failure or error
                self._changed.notify_all()
        return turns > 0

    def wait(self) -> None:
        """Return when all windows are read, or one has contradicted itself, or at a stop; raise what failed."""
        with self._changed:
            while not self._ended and not self._stop.requested:
                self._changed.wait(_POLL_SECONDS)
            if self._failure is not None:
                raise self._failure

    @property
    def _ended(self) -> bool:
        return self._failure is not None or self._contradicted or not self._checkpoint.readable

    @property
    def _on_trial(self) -> bool:
        return not self._trusted and bool(self._tried)

    def _unread(self) -> Turn | None:
        """A window with pages left that nobody reads."""
        for window in self._checkpoint.windows:
            if window.next_token is not None and window.first.version not in self._seen:
                return self._turn(window.first.version)
        return None

    def _turn(self, first: int) -> Turn | None:
        """The next call for a window, None at its end."""
        if not self._checkpoint.readable:
            return None
        window = window_of(self._checkpoint, first)
        self._seen.setdefault(first, Seen())
        request = replace(self._checkpoint.request, created_after_ms=window.after_ms)
        return None if window.next_token is None else Turn(request, window.next_token, first)

    def _half(self) -> Turn | None:
        """A half of what another reads, unless splitting has proved vain."""
        if self._misfits >= _MOST_MISFITS or self._on_trial:
            return None
        half = split(self._checkpoint, self._tried, self._bounds)
        if half is None:
            return None
        self._tried.append(half)
        return Turn(
            replace(self._checkpoint.request, created_after_ms=half.after_ms), None, half.number, half
        )

    def _put(self, turn: Turn, answer: Answer[ImageVersionsBody]) -> Turn | None:
        page = self._page(turn, answer) if turn.tried is None else self._begun(turn.tried, answer)
        if page is None:
            return None
        self._checkpoint = page.checkpoint
        self._sink(replace(page, drift=answer.drift) if answer.drift else page)
        first = turn.first if turn.tried is None else answer.body.ImageVersions[0].Version
        following = self._turn(first)
        if following is not None:
            self._seen[first].require_end(self._checkpoint)
        return following

    def _page(self, turn: Turn, answer: Answer[ImageVersionsBody]) -> PageRead | None:
        """What the page adds to its window; None if another window was begun right behind what it had read."""
        rows, token = answer.body.ImageVersions, answer.body.NextToken
        if window_of(self._checkpoint, turn.first).next_token is None:
            return None
        page = read_on(self._checkpoint, turn.first, rows, token, date_ms=answer.date_ms)
        if page is None or self._seen[turn.first].again(token, rows):
            self._contradicted = True
            return None
        return page

    def _begun(self, tried: Split, answer: Answer[ImageVersionsBody]) -> PageRead | None:
        rows, token = answer.body.ImageVersions, answer.body.NextToken
        page = begun(self._checkpoint, tried, rows, token, date_ms=answer.date_ms)
        if isinstance(page, Misfit):
            self._drop(tried, page.value, last=page is Misfit.UNFILTERED)
            return None
        self._tried.remove(tried)
        self._trusted = True
        return page

    def _drop(self, tried: Split, reason: str, *, last: bool) -> None:
        self._tried.remove(tried)
        self._misfits = _MOST_MISFITS if last else self._misfits + 1
        logger.info("window_dropped", extra={"stream": str(self._checkpoint.stream), "reason": reason})
        self._changed.notify_all()
