"""The page loop of one stream.

Hands each page with the checkpoint after it to a sink; must not know other streams, where threads come from,
segments or Arrow.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from image_history.aws.bodies import ImageVersion
from image_history.durable.effects import Effect, reach
from image_history.errors import (
    AccessDeniedError,
    ImageNotFoundError,
    ListingUnstableError,
    RequestRejectedError,
    SkippableError,
)
from image_history.extract.calls import ScopeCalls
from image_history.extract.side_by_side import Alone, Seen, SideBySide, Sink, Team
from image_history.listing.pages import MARGIN_MS, MAX_READINGS, PageRead, advance, ended, read_again
from image_history.listing.windows import opened, wanted
from image_history.model import Checkpoint, Outcome, Stop

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class StreamReading:
    """Reads one stream to its end, a long one with the help of a team.

    `last` is the newest checkpoint that was handed to the sink.
    """

    calls: ScopeCalls
    sink: Sink
    stop: Stop
    team: Team = field(default_factory=Alone)
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
            self._missing(self.last or checkpoint, error)
        except AccessDeniedError as error:
            self._end(self.last or checkpoint, Outcome.DENIED, error)
        except ListingUnstableError as error:
            self._end(self.last or checkpoint, Outcome.UNSTABLE, error)

    def _pages(self, checkpoint: Checkpoint) -> None:
        current = checkpoint
        seen = Seen()
        while current.readable and not self.stop.requested:
            if current.windows:
                current, seen = self._side_by_side(current), Seen()
                continue
            answer = self.calls.list_image_versions(
                current.stream.image_name, current.request, current.next_token
            )
            reach(Effect.FETCHED, "ListImageVersions")
            body = answer.body
            step = advance(current, body.ImageVersions, body.NextToken, date_ms=answer.date_ms)
            if step is None or seen.again(body.NextToken, body.ImageVersions):
                current, seen = self._start_over(current), Seen()
                continue
            current = step.checkpoint
            self.last = current
            self.sink(replace(step, drift=answer.drift) if answer.drift else step)
            seen.require_end(current)
            if wanted(current, self.team.bounds) and self.team.free():
                current = self._opened(current, body.ImageVersions)

    def _opened(self, checkpoint: Checkpoint, rows: Sequence[ImageVersion]) -> Checkpoint:
        """The listing in windows, begun with its newest page; as it was if that doesn't fit behind the last one."""
        answer = self.calls.list_image_versions(
            checkpoint.stream.image_name, replace(checkpoint.request, newest_first=True), None
        )
        reach(Effect.FETCHED, "ListImageVersions")
        step = opened(checkpoint, rows, answer.body.ImageVersions, date_ms=answer.date_ms)
        if step is None:
            self.team = Alone()
            return checkpoint
        self.last = step.checkpoint
        self.sink(replace(step, drift=answer.drift) if answer.drift else step)
        return step.checkpoint

    def _side_by_side(self, checkpoint: Checkpoint) -> Checkpoint:
        """Read a listing's windows together with the team; where the stream then stands."""
        listing = SideBySide(checkpoint, self.sink, self.stop, self.team.bounds)
        try:
            self.team.join(listing)
            listing.work(self.calls)
            listing.wait()
        finally:
            self.team.leave(listing)
            self.last = listing.checkpoint
        return self._start_over(self.last) if listing.contradicted else self.last

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
        """The list says that there is no such image; DescribeImage has to say so as well."""
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
        logger.warning("stream_skipped", extra={"stream": str(checkpoint.stream), "outcome": outcome.value})
        self.last = ended(checkpoint, outcome, error)
        self.sink(PageRead((), self.last))
