"""Decides which images of a scope a run lists, and in which order; the other images rest.

Pure decisions on what is known and on hints; must not know clients, clocks or files.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from image_history.aws.bodies import Image, epoch_ms
from image_history.extract.discovery import Discovery
from image_history.hints.events import Hint
from image_history.hints.resting import Rest
from image_history.listing.request import PlanSettings, plan_stream
from image_history.model import PlannedStream, Scope, Stream, StreamKnowledge


@dataclass(frozen=True, slots=True)
class Agenda:
    """The listings of one scope. The first `hinted` streams have pending hints; `rested` images are not listed.

    `confirmed_ms` is the oldest confirmation among the resting images, UTC epoch milliseconds; None without any.
    """

    streams: tuple[PlannedStream, ...]
    hinted: int
    rested: int
    confirmed_ms: int | None


@dataclass(frozen=True, slots=True)
class Deciding:
    """The basis of the decisions: what is known about streams, which images may rest, and the settings of a plan."""

    known: Mapping[Stream, StreamKnowledge]
    rest: Rest
    settings: PlanSettings

    def agenda(self, scope: Scope, found: Discovery, vanished: Iterable[Stream]) -> Agenda:
        """The listings of a scope. Streams with pending hints come first.

        `vanished` streams are stored as live, but the list of images lacks them. They are listed too: AWS's answer
        then shows whether the image is gone, or the list of images lags behind.
        """
        hinted: list[PlannedStream] = []
        others: list[PlannedStream] = []
        rested: list[int] = []
        for stream, image in _streams(scope, found, vanished):
            known = self.known.get(stream)
            pending_hints = self.rest.pending_hints(stream, known)
            if image is not None and self.rest.may(stream, known, _said(image), now_ms=found.now_ms):
                rested.append(self.rest.confirmed_ms(stream))
                continue
            planned = plan_stream(
                stream,
                known,
                replace(self.settings, full=True) if _deletes(pending_hints) else self.settings,
                now_ms=found.now_ms,
                created_ms=None if image is None else epoch_ms(image.CreationTime),
            )
            (hinted if pending_hints else others).append(planned)
        return Agenda((*hinted, *others), len(hinted), len(rested), min(rested, default=None))


def _streams(
    scope: Scope, found: Discovery, vanished: Iterable[Stream]
) -> Iterable[tuple[Stream, Image | None]]:
    yield from ((Stream(scope, image.ImageName), image) for image in found.images)
    yield from ((stream, None) for stream in vanished)


def _said(image: Image) -> tuple[int, int, str]:
    return epoch_ms(image.CreationTime), epoch_ms(image.LastModifiedTime), image.ImageStatus


def _deletes(hints: Iterable[Hint]) -> bool:
    """Whether a hint is about a deletion, which an incremental listing would not show."""
    return any(hint.deletes for hint in hints)
