"""Decides which request proves the most about a stream with the fewest calls.

A pure decision on what the warehouse knows; must not know AWS clients, clocks or files.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

from image_history.model import ListingKind, ListingRequest, PlannedStream, Stream, StreamKnowledge


@dataclass(frozen=True, slots=True)
class PlanSettings:
    """The settings of a plan, with durations in milliseconds. With `full`, every stream is listed in full."""

    page_size: int
    lookback_ms: int
    reconcile_every_ms: int
    full: bool = False


@dataclass(frozen=True, slots=True)
class ImageFilter:
    """Case-sensitive globs over image names. A name must match one of `include` and none of `exclude`."""

    include: tuple[str, ...] = ("*",)
    exclude: tuple[str, ...] = ()

    def accepts(self, image_name: str) -> bool:
        """Whether the image is to be read."""
        return _any(self.include, image_name) and not _any(self.exclude, image_name)


def _any(globs: tuple[str, ...], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def plan_stream(
    stream: Stream,
    known: StreamKnowledge | None,
    settings: PlanSettings,
    *,
    now_ms: int,
    created_ms: int | None = None,
) -> PlannedStream:
    """Decide one stream's request. `now_ms` is the server's time, `created_ms` the image's CreationTime as listed.

    Instants are in UTC epoch milliseconds. The listing is full if the stream is new or has no watermark, if its live
    versions fit on one page (one call either way, and a single response is atomic), if the last full listing is older
    than `reconcile_every_ms`, if deletions are held back, if the image was created again, or if `settings.full` is
    set. Otherwise it is incremental from the watermark less the lookback, rounded down to whole seconds.
    """
    if (
        known is None
        or settings.full
        or made_again(known, created_ms)
        or _wants_full(known, settings, now_ms)
    ):
        return PlannedStream(stream, ListingRequest(ListingKind.FULL, settings.page_size))
    since_ms = (known.watermark_ms or 0) - settings.lookback_ms
    request = ListingRequest(ListingKind.INCREMENTAL, settings.page_size, since_ms // 1000 * 1000)
    return PlannedStream(stream, request)


def made_again(known: StreamKnowledge, created_ms: int | None) -> bool:
    """Whether an image is not the one that was last listed whole, or never was: its CreationTime differs.

    `created_ms` is its CreationTime as listed now, UTC epoch milliseconds; None if the list of images lacks it.
    """
    return created_ms not in (None, known.image_created_ms)


def _wants_full(known: StreamKnowledge, settings: PlanSettings, now_ms: int) -> bool:
    if known.live_versions < settings.page_size or known.held_back:
        return True
    if known.watermark_ms is None or known.last_full_at_ms is None:
        return True
    return now_ms - known.last_full_at_ms > settings.reconcile_every_ms
