"""Which images may rest in a run, and which hints are settled by what is stored. Pure decisions.

A hint's absence proves nothing, so rest is bounded by `trust`; a hint decides what is listed first. Must not know
queues, SQL or clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from image_history.hints.events import Hint
from image_history.model import Scope, Stream, StreamKnowledge

# Lists lag behind changes by seconds: only a listing that began so much later shows what a hint is about.
LAG_MS = 60_000
# So many images have to show it before an image's own time is believed: one may agree by chance.
_ENOUGH = 3


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What the last listing of a stream proved, and what its scope's list of images said of it.

    Instants in UTC epoch milliseconds: `t0_ms` is the T0 of the last accepted listing, None if the last listing
    was not accepted (partial, held back, unstable, denied, void ...); `full_ms` that of the last full one.
    `passing`: a live version, or the image, is in a passing state. `image` is (creation, last modification,
    status) as stored.
    """

    t0_ms: int | None
    full_ms: int | None = None
    passing: bool = False
    image: tuple[int, int, str] | None = None


@dataclass(frozen=True, slots=True)
class ImageTimes:
    """Of how many images of a scope the list of images shows the time of their newest version, and of how many not.

    `contradicted` had a version that was younger than the image's LastModifiedTime, long enough before they were
    listed.
    """

    shown: int = 0
    contradicted: int = 0

    @property
    def proved(self) -> bool:
        """Whether a new version moves its image's LastModifiedTime, as far as the stored history tells."""
        return self.shown >= _ENOUGH and not self.contradicted


@dataclass(frozen=True, slots=True)
class Confirmations:
    """What is confirmed of each stream, and in which scopes an image's own time tells of new versions.

    `image_times` is empty where nobody asked for it.
    """

    streams: Mapping[Stream, Confirmed] = field(default_factory=dict)
    image_times: Mapping[Scope, ImageTimes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rest:
    """Decides who may rest. `allowed` is False where hints are not to be relied on: then nobody may.

    Durations in milliseconds. `page_size` tells images that fit one page from larger ones. `by_image_time`: there are
    no hints, and an image's own time has to do, in the scopes in which that is proved.
    """

    allowed: bool = False
    by_image_time: bool = False
    trust_ms: int = 0
    reconcile_every_ms: int = 0
    page_size: int = 100
    confirmations: Confirmations = field(default_factory=Confirmations)
    hints: Mapping[tuple[Scope, str], tuple[Hint, ...]] = field(default_factory=dict)

    def pending(self, stream: Stream, known: StreamKnowledge | None) -> tuple[Hint, ...]:
        """The hints at a stream that its last accepted listing has not settled."""
        hints = self.hints.get((stream.scope, stream.image_name.lower()), ())
        if not hints or known is None:
            return hints
        confirmed = self.confirmations.streams.get(stream)
        return tuple(hint for hint in hints if not _settles(confirmed, known, hint, self.page_size))

    def may(
        self, stream: Stream, known: StreamKnowledge | None, image: tuple[int, int, str], *, now_ms: int
    ) -> bool:
        """Whether a stream need not be listed. `image` is what this run's list of images says of it."""
        confirmed = self.confirmations.streams.get(stream)
        if not self.allowed or known is None or confirmed is None or confirmed.t0_ms is None:
            return False
        return (
            known.image_live
            and known.watermark_ms is not None
            and not known.held_back
            and known.image_created_ms == image[0]
            and now_ms - confirmed.t0_ms < self.trust_ms
            and confirmed.image == image
            and not confirmed.passing
            and not self._due(known, now_ms)
            and not self.pending(stream, known)
            and (not self.by_image_time or self._tells(stream.scope, image[1], confirmed.t0_ms))
        )

    def confirmed_ms(self, stream: Stream) -> int:
        """When a stream that may rest was last listed: the T0 of that listing."""
        return self.confirmations.streams[stream].t0_ms or 0

    def _tells(self, scope: Scope, modified_ms: int, t0_ms: int) -> bool:
        """Whether a version that moved the image's time was in the last listing, and a later one would move it.

        The list of versions may lag behind the list of images.
        """
        proof = self.confirmations.image_times.get(scope, ImageTimes())
        return proof.proved and _shows(t0_ms, modified_ms)

    def _due(self, known: StreamKnowledge, now_ms: int) -> bool:
        """Whether a large image is to be listed in full, which alone finds deletions."""
        if known.live_versions < self.page_size:
            return False
        return known.last_full_at_ms is None or now_ms - known.last_full_at_ms > self.reconcile_every_ms


def by_image(hints: Iterable[Hint]) -> dict[tuple[Scope, str], tuple[Hint, ...]]:
    """The hints image by image, each once."""
    found: dict[tuple[Scope, str], dict[Hint, None]] = {}
    for hint in hints:
        found.setdefault((hint.scope, hint.image), {})[hint] = None
    return {key: tuple(each) for key, each in found.items()}


def _settles(confirmed: Confirmed | None, known: StreamKnowledge, hint: Hint, page_size: int) -> bool:
    """Whether a stream's last listing shows what a hint is about."""
    if confirmed is None or confirmed.t0_ms is None:
        return False
    needs_full = hint.deletes and known.live_versions >= page_size
    t0_ms = confirmed.full_ms if needs_full else confirmed.t0_ms
    return t0_ms is not None and _shows(t0_ms, hint.at_ms)


def _shows(t0_ms: int, at_ms: int | None) -> bool:
    return at_ms is not None and at_ms + LAG_MS <= t0_ms


@dataclass(frozen=True, slots=True)
class Ledger:
    """What is stored once a run is loaded, to tell which hints are settled by it.

    `wanted` tells, by scope, which images the run's configuration reads; a scope that is missing there was
    not opened. `everything` says that the run was asked for all that is configured, and could open it. `listed` is
    the T0 of each list of images that the run read whole.
    """

    confirmations: Confirmations
    known: Mapping[Stream, StreamKnowledge]
    wanted: Mapping[Scope, Callable[[str], bool]]
    listed: Mapping[Scope, int]
    everything: bool
    page_size: int
    _names: dict[tuple[Scope, str], list[Stream]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Find streams by their names in lower case: two images may differ in case only."""
        for stream in self.known:
            self._names.setdefault((stream.scope, stream.image_name.lower()), []).append(stream)

    def settled(self, hint: Hint) -> bool:
        """Whether nothing is left to learn from a hint: its image was listed late enough, or is none of ours."""
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
