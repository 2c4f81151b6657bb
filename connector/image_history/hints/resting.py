"""Decides which images may rest in a run, and which hints the stored listings settle. Pure decisions.

The absence of a hint proves nothing, so an image rests no longer than `trust`; images with hints are listed first.
Must not know queues, SQL or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from image_history.hints.events import Hint
from image_history.hints.heard import Heard, heard_since, source_of
from image_history.listing.request import ImageFilter
from image_history.model import Scope, Stream, StreamKnowledge

# Lists lag behind changes by seconds: only a listing that began so much later is sure to show the change of a hint.
LAG_MS = 60_000
# So many images must show it before an image's LastModifiedTime is relied on: one image may agree by chance.
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the last listing of a stream proved, and what is stored about its image.

    Instants in UTC epoch milliseconds: `t0_ms` is the T0 of the last accepted listing, None if the last listing
    was not accepted (partial, held back, unstable, denied, void ...), and `loaded_ms` is when it was loaded;
    `full_ms` is the T0 of the last full one. `passing` says that the image or a live version is in a passing status.
    `image` is (creation, last modification, status) as stored.
    """

    t0_ms: int | None
    full_ms: int | None = None
    passing: bool = False
    image: tuple[int, int, str] | None = None
    loaded_ms: int = 0


@dataclass(frozen=True, slots=True)
class ImageTimes:
    """How many images of a scope have a LastModifiedTime that moved with their newest version, and how many do not.

    `contradicted` images had a version that was created after their LastModifiedTime, and long enough before the
    images were listed.
    """

    shown: int = 0
    contradicted: int = 0

    @property
    def proved(self) -> bool:
        """Whether a new version moves its image's LastModifiedTime, as far as the stored history shows."""
        return self.shown >= _ENOUGH and not self.contradicted


@dataclass(frozen=True, slots=True)
class Confirmations:
    """What is confirmed about each stream, and in which scopes an image's LastModifiedTime shows new versions.

    `image_times` is empty if the caller does not need it.
    """

    streams: Mapping[Stream, Confirmed] = field(default_factory=dict)
    image_times: Mapping[Scope, ImageTimes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rest:
    """Decides which images may rest. If `allowed` is False, hints cannot be relied on, and no image may rest.

    Durations in milliseconds. `page_size` separates images that fit on one page from larger ones. With
    `by_image_time` there are no hints: the image's LastModifiedTime is used instead, in scopes where it is proved
    that a new version moves it. `mailbox` names the queue or folder of hints, and `heard` says since when the hints
    of each scope are heard without a gap. `since_ms` is that instant for the scope that `heard_in` chose, None if its
    hints are not heard: only listings that were loaded later count.
    """

    allowed: bool = False
    by_image_time: bool = False
    trust_ms: int = 0
    reconcile_every_ms: int = 0
    page_size: int = 100
    confirmations: Confirmations = field(default_factory=Confirmations)
    hints: Mapping[tuple[Scope, str], tuple[Hint, ...]] = field(default_factory=dict)
    mailbox: str = ""
    heard: tuple[Heard, ...] = ()
    since_ms: int | None = None

    def heard_in(self, scope: Scope, images: ImageFilter) -> Rest:
        """The rules for one scope of which these images are read."""
        return replace(self, since_ms=heard_since(self.heard, scope, source_of(self.mailbox, images)))

    def pending_hints(self, stream: Stream, known: StreamKnowledge | None) -> tuple[Hint, ...]:
        """The hints about a stream that its last accepted listing has not settled."""
        hints = self.hints.get((stream.scope, stream.image_name.lower()), ())
        if not hints or known is None:
            return hints
        confirmed = self.confirmations.streams.get(stream)
        return tuple(hint for hint in hints if not _settles(confirmed, known, hint, self.page_size))

    def may(
        self, stream: Stream, known: StreamKnowledge | None, image: tuple[int, int, str], *, now_ms: int
    ) -> bool:
        """Whether a stream need not be listed. `image` has its times and status in this run's list of images."""
        confirmed = self.confirmations.streams.get(stream)
        if not self.allowed or known is None or confirmed is None or confirmed.t0_ms is None:
            return False
        return (
            known.image_live
            and self._hears_of(confirmed)
            and known.watermark_ms is not None
            and not known.held_back
            and known.image_created_ms == image[0]
            and now_ms - confirmed.t0_ms < self.trust_ms
            and confirmed.image == image
            and not confirmed.passing
            and not self._due(known, now_ms)
            and not self.pending_hints(stream, known)
            and (not self.by_image_time or self._tells(stream.scope, image[1], confirmed.t0_ms))
        )

    def confirmed_ms(self, stream: Stream) -> int:
        """The T0 of the last listing of a stream that may rest, UTC epoch milliseconds."""
        return self.confirmations.streams[stream].t0_ms or 0

    def _hears_of(self, confirmed: Confirmed) -> bool:
        """Whether hints about changes after that listing would be here. An image's time cannot get lost like that."""
        return self.by_image_time or (self.since_ms is not None and confirmed.loaded_ms > self.since_ms)

    def _tells(self, scope: Scope, modified_ms: int, t0_ms: int) -> bool:
        """Whether the last listing showed the version that moved the image's time, and a newer one would move it.

        The list of versions may lag behind the list of images.
        """
        proof = self.confirmations.image_times.get(scope, ImageTimes())
        return proof.proved and _shows(t0_ms, modified_ms)

    def _due(self, known: StreamKnowledge, now_ms: int) -> bool:
        """Whether a full listing of a large image is due: only a full listing finds deletions."""
        if known.live_versions < self.page_size:
            return False
        return known.last_full_at_ms is None or now_ms - known.last_full_at_ms > self.reconcile_every_ms


def by_image(hints: Iterable[Hint]) -> dict[tuple[Scope, str], tuple[Hint, ...]]:
    """The hints of each image, without duplicates."""
    found: dict[tuple[Scope, str], dict[Hint, None]] = {}
    for hint in hints:
        found.setdefault((hint.scope, hint.image), {})[hint] = None
    return {key: tuple(each) for key, each in found.items()}


def _settles(confirmed: Confirmed | None, known: StreamKnowledge, hint: Hint, page_size: int) -> bool:
    """Whether a stream's last listing shows the change that a hint is about."""
    if confirmed is None or confirmed.t0_ms is None:
        return False
    needs_full = hint.deletes and known.live_versions >= page_size
    t0_ms = confirmed.full_ms if needs_full else confirmed.t0_ms
    return t0_ms is not None and _shows(t0_ms, hint.at_ms)


def _shows(t0_ms: int, at_ms: int | None) -> bool:
    return at_ms is not None and at_ms + LAG_MS <= t0_ms


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is stored after a run is loaded, to decide which hints are settled.

    `wanted` has, for each scope that was opened, a function that says which image names the configuration reads.
    `everything` says that the run was not limited to scopes or images, and could open all configured scopes. `listed`
    has the T0 of each list of images that the run read whole.
    """

    confirmations: Confirmations
    known: Mapping[Stream, StreamKnowledge]
    wanted: Mapping[Scope, Callable[[str], bool]]
    listed: Mapping[Scope, int]
    everything: bool
    page_size: int
    _names: dict[tuple[Scope, str], list[Stream]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Index the streams by names in lower case: the names of two images may differ only in case."""
        for stream in self.known:
            self._names.setdefault((stream.scope, stream.image_name.lower()), []).append(stream)

    def settled(self, hint: Hint) -> bool:
        """Whether nothing is left to learn from a hint: its image was listed late enough, or is not configured."""
        accepts = self.wanted.get(hint.scope)
        if accepts is None:
            return self.everything
        live = [
            stream
            for stream in self._names.get((hint.scope, hint.image), ())
            if self.known[stream].image_live and accepts(stream.image_name)
        ]
        if not live:
            listed_ms = self.listed.get(hint.scope)
            return listed_ms is not None and _shows(listed_ms, hint.at_ms)
        return all(
            _settles(self.confirmations.streams.get(stream), self.known[stream], hint, self.page_size)
            for stream in live
        )
