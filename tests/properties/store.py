"""What the warehouse would hold, as plain sets: the SQL of findings, merge and deletions, said in Python.

Stands in for DuckDB only; must not know calls, or how a listing is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from image_history.aws.bodies import ImageVersion, epoch_ms
from image_history.listing.pages import PageRead, watermark_ms
from image_history.listing.verdict import Findings, Suspect
from image_history.model import Absence, Checkpoint, Evidence, ListingKind, Outcome, StreamKnowledge


@dataclass(frozen=True, slots=True)
class Landed:
    """One row as it was landed, with the reading and the page that it came in."""

    row: ImageVersion
    reading: int
    page: int
    t0_ms: int

    @property
    def precedence(self) -> tuple[float, float, int, int]:
        """The landed row of a number with the greatest of these is the one that counts."""
        return (self.row.CreationTime, self.row.LastModifiedTime, self.reading, self.page)


@dataclass(slots=True)
class Landing:
    """What one run has on disk."""

    rows: list[Landed] = field(default_factory=list)
    absences: list[Absence] = field(default_factory=list)
    mark: Checkpoint | None = None
    image_created_ms: int | None = None

    def put(self, page: PageRead) -> None:
        """Take a page or a verdict, as the segment writer does."""
        self.mark = page.checkpoint
        self.absences += page.absences
        t0_ms = page.checkpoint.t0_ms or 0
        self.rows += [Landed(row, page.checkpoint.reading, page.checkpoint.pages, t0_ms) for row in page.rows]

    def numbers(self, *readings: int) -> set[int]:
        """The version numbers of some readings."""
        return {landed.row.Version for landed in self.rows if landed.reading in readings}

    def newest(self) -> Iterator[Landed]:
        """One row a version: its newest incarnation in its newest state."""
        best: dict[int, Landed] = {}
        for landed in self.rows:
            number = landed.row.Version
            if number not in best or landed.precedence > best[number].precedence:
                best[number] = landed
        return iter(best.values())


@dataclass(frozen=True, slots=True)
class Stored:
    """One version as it is stored."""

    row: ImageVersion
    read_ms: int
    evidence: Evidence | None = None

    @property
    def live(self) -> bool:
        """Whether it is not marked deleted."""
        return self.evidence is None


@dataclass(slots=True)
class Store:
    """The tables of one stream."""

    versions: dict[int, Stored] = field(default_factory=dict)
    absent: list[tuple[int, int, int | None]] = field(default_factory=list)
    listed: bool = False
    image_live: bool = False
    watermark_ms: int | None = None
    last_full_at_ms: int | None = None
    image_ms: int | None = None
    stream_image_ms: int | None = None
    held_back: int | None = None

    def copy(self) -> Store:
        """A store that goes its own way from here."""
        return replace(self, versions=dict(self.versions), absent=list(self.absent))

    def live(self) -> dict[int, ImageVersion]:
        """The versions that are not marked deleted."""
        return {number: _as_listed(stored.row) for number, stored in self.versions.items() if stored.live}

    def present(self, image_ms: int | None) -> set[int]:
        """The numbers of the image's present life."""
        return {
            number
            for number, stored in self.versions.items()
            if image_ms is None or epoch_ms(stored.row.CreationTime) >= image_ms
        }

    def knowledge(self) -> StreamKnowledge | None:
        """What the planner gets to know."""
        if not self.listed:
            return None
        return StreamKnowledge(
            live_versions=len(self.live()),
            watermark_ms=self.watermark_ms,
            last_full_at_ms=self.last_full_at_ms,
            image_live=self.image_live,
            image_created_ms=self.stream_image_ms,
            held_back=self.held_back or 0,
        )

    def findings(self, landing: Landing, mark: Checkpoint) -> Findings:
        """Hold a listing that was read to its end against what is stored."""
        life = _greatest(landing.image_created_ms, self.image_ms)
        full = mark.request.kind is ListingKind.FULL
        created = [epoch_ms(stored.row.CreationTime) for stored in self.versions.values()]
        if mark.outcome is Outcome.MISSING:
            landed = [epoch_ms(each.row.CreationTime) for each in landing.rows]
            until = max([*created, *landed, *([] if life is None else [life])], default=None)
            return Findings(
                lives=len(self.live()),
                known_until_ms=until,
            )
        before = landing.numbers(mark.reading - 1)
        since_ms = mark.request.since_ms
        unfounded = not full and (
            self.watermark_ms is None or since_ms is None or since_ms > self.watermark_ms
        )
        return Findings(
            missing=self._missing(landing, mark, life, full=full),
            gaps=tuple(self._gaps(landing, life)),
            agrees=mark.t0_before_ms is not None and before <= landing.numbers(mark.reading),
            unfounded=unfounded,
            recreated_ms=self._recreated(life) if full else None,
        )

    def _recreated(self, life: int | None) -> int | None:
        created = [epoch_ms(row.CreationTime) for row in self.live().values()]
        return life if life is not None and created and min(created) < life else None

    def _missing(
        self, landing: Landing, mark: Checkpoint, life: int | None, *, full: bool
    ) -> tuple[Suspect, ...]:
        alive = {number: epoch_ms(row.CreationTime) for number, row in self.live().items()} if full else {}
        stored = {number: at for number, at in alive.items() if life is None or at >= life}
        for each in landing.rows:
            number, at = each.row.Version, epoch_ms(each.row.CreationTime)
            if each.reading < mark.reading and (life is None or at >= life):
                alive[number] = max(alive.get(number, at), at)
        lacking = {
            number: at
            for number, at in alive.items()
            if number not in landing.numbers(mark.reading) and (life is None or at >= life)
        }
        return tuple(Suspect(number, at, number in stored) for number, at in sorted(lacking.items()))

    def _gaps(self, landing: Landing, life: int | None) -> Iterator[tuple[int, int]]:
        numbers = self.present(life) | {
            each.row.Version
            for each in landing.rows
            if life is None or epoch_ms(each.row.CreationTime) >= life
        }
        known = set(numbers)
        for first, last, of in self.absent:
            if of == life:
                known |= set(range(first, last + 1))
        for first, following in pairwise(sorted(known)):
            if following - first > 1:
                yield (first + 1, following - 1)

    def load(self, landing: Landing) -> list[Stored]:
        """Load a run; return what it marked deleted."""
        self.image_live |= landing.image_created_ms is not None
        self.image_ms = _greatest(landing.image_created_ms, self.image_ms)
        mark = landing.mark
        if mark is None:
            return []
        self.listed = True
        self._merge(landing, mark)
        deleted = self._delete(landing, mark)
        if mark.outcome is Outcome.GONE and not self.live():
            self.image_live = False
        self._remember(mark)
        return deleted

    def _merge(self, landing: Landing, mark: Checkpoint) -> None:
        full = mark.request.kind is ListingKind.FULL
        for landed in landing.newest():
            row, stored = landed.row, self.versions.get(landed.row.Version)
            if stored is None or row.CreationTime > stored.row.CreationTime:
                self.versions[row.Version] = Stored(row, landed.t0_ms)
                continue
            same = row.CreationTime == stored.row.CreationTime and landed.t0_ms >= stored.read_ms
            if same and (row.LastModifiedTime >= stored.row.LastModifiedTime or full):
                changed = not stored.live or _as_listed(row) != _as_listed(stored.row)
                read_ms = landed.t0_ms if changed else stored.read_ms
                self.versions[row.Version] = Stored(row, read_ms)

    def _delete(self, landing: Landing, mark: Checkpoint) -> list[Stored]:
        proofs = landing.absences if mark.outcome in {Outcome.COMPLETE, Outcome.GONE} else []
        chosen = {
            number: proof
            for proof in proofs
            for number, stored in self.versions.items()
            if stored.live
            and proof.created_until_ms is not None
            and proof.first <= number <= proof.last
            and epoch_ms(stored.row.CreationTime) <= proof.created_until_ms
            and stored.read_ms <= proof.t0_ms
        }
        for number, proof in chosen.items():
            self.versions[number] = replace(
                self.versions[number], evidence=proof.evidence, read_ms=proof.t0_ms
            )
        present = self.present(self.image_ms)
        self.absent += [
            (proof.first, proof.last, self.image_ms)
            for proof in proofs
            if proof.created_until_ms is None
            and not any(proof.first <= number <= proof.last for number in present)
        ]
        return [self.versions[number] for number in chosen]

    def _remember(self, mark: Checkpoint) -> None:
        reached = watermark_ms(mark)
        if reached is not None:
            self.watermark_ms = reached if self.watermark_ms is None else max(self.watermark_ms, reached)
        whole = mark.outcome is Outcome.COMPLETE and mark.request.kind is ListingKind.FULL
        if whole:
            self.last_full_at_ms = _greatest(self.last_full_at_ms, mark.t0_ms)
            self.stream_image_ms = self.image_ms
        if mark.outcome is Outcome.HELD_BACK:
            self.held_back = mark.held_back
        elif whole or mark.outcome is Outcome.GONE:
            self.held_back = None


def _greatest(first: int | None, second: int | None) -> int | None:
    return max((number for number in (first, second) if number is not None), default=None)


def _as_listed(row: ImageVersion) -> ImageVersion:
    """The row without what only Describe tells of it."""
    if type(row) is ImageVersion:
        return row
    return ImageVersion(**{name: getattr(row, name) for name in ImageVersion.__struct_fields__})


def unlike(store: Store, truth: Iterable[ImageVersion]) -> set[int]:
    """The numbers of versions that exist and are stored otherwise, or not at all."""
    live = store.live()
    return {row.Version for row in truth if live.get(row.Version) != row}
