"""The page loop of one stream.

Hands each page with the checkpoint after it to a sink; must not know other streams, threads, segments or Arrow.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from connector.acceptance import MAX_READINGS, MOST_EMPTY_PAGES, PageRead, advance, ended, read_again
from connector.effects import Effect, reach
from connector.errors import (
    AccessDeniedError,
    ImageNotFoundError,
    ListingUnstableError,
    RequestRejectedError,
    SkippableError,
)
from connector.extract.calls import ScopeCalls
from connector.model import Checkpoint, Outcome, Stop
from connector.wire import ImageVersion

logger = logging.getLogger(__name__)

Sink = Callable[[PageRead], None]


@dataclass(slots=True)
class StreamReading:
    """Reads one stream to its end. `last` is the newest checkpoint that was handed to the sink."""

    calls: ScopeCalls
    sink: Sink
    stop: Stop
    last: Checkpoint | None = None

    def run(self, checkpoint: Checkpoint) -> None:
        """Go on from the checkpoint until the listing is accepted, given up, or `stop` is set.

        Raises a TransientError whose attempts are used up, and a FatalError; every SkippableError becomes
        the outcome of the stream.
        """
        try:
            self._pages(checkpoint)
        except RequestRejectedError as error:
            current = self.last or checkpoint
            if current.next_token is None or current.reading >= MAX_READINGS:
                self._end(current, Outcome.FAILED, error)
                return
            logger.warning(
                "token_refused", extra={"stream": str(current.stream), "action": "listing starts over"}
            )
            # The newest checkpoint from now on: a refusal without a token must not be taken for the old one's.
            self.last = read_again(current)
            self.run(self.last)
        except ImageNotFoundError as error:
            self._end(self.last or checkpoint, self._missing(checkpoint), error)
        except AccessDeniedError as error:
            self._end(self.last or checkpoint, Outcome.DENIED, error)
        except ListingUnstableError as error:
            self._end(self.last or checkpoint, Outcome.UNSTABLE, error)

    def _pages(self, checkpoint: Checkpoint) -> None:
        current = checkpoint
        seen = _Seen()
        while current.readable and not self.stop.requested:
            answer = self.calls.list_image_versions(
                current.stream.image_name, current.request, current.next_token
            )
            reach(Effect.FETCHED, "ListImageVersions")
            body = answer.body
            step = advance(current, body.ImageVersions, body.NextToken, date_ms=answer.date_ms)
            if step is None or seen.again(body.NextToken, body.ImageVersions):
                current, seen = self._start_over(current), _Seen()
                continue
            current = step.checkpoint
            self.last = current
            self.sink(replace(step, drift=answer.drift) if answer.drift else step)
            seen.require_end(current)

    def _start_over(self, checkpoint: Checkpoint) -> Checkpoint:
        if checkpoint.reading >= MAX_READINGS:
            raise ListingUnstableError(
                f"ListImageVersions of {checkpoint.stream} contradicted itself in {MAX_READINGS} readings: "
                "its rows are kept, its watermark stays, and the next sync reads it again."
            )
        logger.warning("listing_contradicts_itself", extra={"stream": str(checkpoint.stream)})
        self.last = read_again(checkpoint)
        return self.last

    def _missing(self, checkpoint: Checkpoint) -> Outcome:
        try:
            exists = self.calls.image_exists(checkpoint.stream.image_name)
        except AccessDeniedError:
            return Outcome.FAILED
        return Outcome.FAILED if exists else Outcome.GONE

    def _end(self, checkpoint: Checkpoint, outcome: Outcome, error: SkippableError) -> None:
        logger.warning("stream_skipped", extra={"stream": str(checkpoint.stream), "outcome": outcome.value})
        self.last = ended(checkpoint, outcome, error)
        self.sink(PageRead((), self.last))


class _Seen:
    """What one reading has met: a token or a version that comes again is a contradiction."""

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
        numbers = {row.Version for row in rows}
        repeated = token in self._tokens or not self._versions.isdisjoint(numbers)
        self._versions |= numbers
        self._empty = 0 if rows else self._empty + 1
        if token is not None:
            self._tokens.add(token)
        return repeated
