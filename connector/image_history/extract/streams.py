"""The page loop of one stream.

Hands each page with the checkpoint after it to a sink; must not know other streams, where threads come from,
segments or Arrow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from image_history.aws.bodies import ImageVersion
from image_history.durable.effects import Effect, fault_point
from image_history.errors import (
    AccessDeniedError,
    ImageNotFoundError,
    ListingUnstableError,
    RequestRejectedError,
    SkippableError,
)
from image_history.extract.calls import ScopeCalls
from image_history.listing.pages import (
    MARGIN_MS,
    MAX_READINGS,
    MOST_EMPTY_PAGES,
    PageRead,
    Sink,
    advance,
    ended,
    read_again,
)
from image_history.model import Checkpoint, Outcome, Stop

logger = logging.getLogger(__name__)


class Seen:
    """The tokens and versions of one chain so far: one that comes again is a contradiction."""

    def __init__(self) -> None:
        self._tokens: set[str] = set()
        self._versions: set[int] = set()
        self._empty = 0

    def require_end(self, checkpoint: Checkpoint) -> None:
        """Raise ListingUnstableError after too many empty pages in a row."""
        if checkpoint.readable and self._empty >= MOST_EMPTY_PAGES:
            raise ListingUnstableError(
                f"ListImageVersions of {checkpoint.stream} gave {self._empty:,} empty pages in a row: its rows are "
                "kept, its watermark stays, and the next sync reads it again."
            )

    def again(self, token: str | None, rows: Sequence[ImageVersion]) -> bool:
        """Record the token and the rows; True if one of them was met before."""
        numbers = {row.Version for row in rows}
        repeated = token in self._tokens or not self._versions.isdisjoint(numbers)
        self._versions |= numbers
        self._empty = 0 if rows else self._empty + 1
        if token is not None:
            self._tokens.add(token)
        return repeated


@dataclass(slots=True)
class StreamReading:
    """Reads one stream to its end, page by page.

    `last` is the newest checkpoint that was handed to the sink.
    """

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
            # Set at once: if the request without a token is refused as well, that is no refusal of the old token.
            self.last = read_again(current)
            self.run(self.last)
        except ImageNotFoundError as error:
            self._missing(self.last or checkpoint, error)
        except AccessDeniedError as error:
            self._end(self.last or checkpoint, Outcome.DENIED, error)
        except ListingUnstableError as error:
            self._end(self.last or checkpoint, Outcome.UNSTABLE, error)

    def _pages(self, checkpoint: Checkpoint) -> None:
        current = checkpoint
        seen = Seen()
        while current.readable and not self.stop.requested:
            answer = self.calls.list_image_versions(
                current.stream.image_name, current.request, current.next_token
            )
            fault_point(Effect.FETCHED, "ListImageVersions")
            body = answer.body
            step = advance(current, body.ImageVersions, body.NextToken, date_ms=answer.date_ms)
            if step is None or seen.again(body.NextToken, body.ImageVersions):
                current, seen = self._start_over(current), Seen()
                continue
            current = step.checkpoint
            self.last = current
            self.sink(replace(step, drift=answer.drift) if answer.drift else step)
            _log_page(current, len(step.rows))
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

    def _missing(self, checkpoint: Checkpoint, error: ImageNotFoundError) -> None:
        """ListImageVersions found no such image: accept that only if DescribeImage finds none either."""
        try:
            gone_ms = self.calls.image_gone_ms(checkpoint.stream.image_name)
        except AccessDeniedError:
            gone_ms = None
        if gone_ms is None:
            self._end(checkpoint, Outcome.FAILED, error)
            return
        t0_ms = checkpoint.t0_ms if checkpoint.t0_ms is not None else error.date_ms - MARGIN_MS
        proved = replace(checkpoint, t0_ms=t0_ms, t1_ms=gone_ms + MARGIN_MS)
        self._end(proved, Outcome.MISSING, error)

    def _end(self, checkpoint: Checkpoint, outcome: Outcome, error: SkippableError) -> None:
        # A deleted image is a change like others, and no problem.
        level = logging.INFO if outcome is Outcome.MISSING else logging.WARNING
        logger.log(
            level, "stream_skipped", extra={"stream": str(checkpoint.stream), "outcome": outcome.value}
        )
        self.last = ended(checkpoint, outcome, error)
        self.sink(PageRead((), self.last))


def _log_page(checkpoint: Checkpoint, rows: int) -> None:
    """Log the page that the checkpoint ends with; never its token, which is a secret."""
    logger.debug(
        "page_read",
        extra={
            "stream": str(checkpoint.stream),
            "reading": checkpoint.reading,
            "page": checkpoint.pages,
            "rows": rows,
            "last": not checkpoint.readable,
        },
    )
