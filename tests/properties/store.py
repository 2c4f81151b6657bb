"""What the warehouse would hold, as plain sets: the SQL of findings, merge and deletions, said in Python.

Stands in for DuckDB only; must not know calls, or how a listing is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

from image_history.aws.bodies import ImageVersion
from image_history.listing.pages import PageRead, watermark_ms
from image_history.listing.verdict import Findings, may_delete
from image_history.model import Absence, Checkpoint, Evidence, ListingKind, Outcome, StreamKnowledge
from tests.properties.collection import STREAM

_HIGHEST_NUMBER = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Landed:
    """One row as it was landed, with the reading and the page that it came in."""

    row: ImageVersion
    reading: int
    page: int

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

    def put(self, page: PageRead) -> None:
        """Take a page or a verdict, as the segment writer does."""
        self.mark = page.checkpoint
        self.absences += page.absences
        self.rows += [Landed(row, page.checkpoint.reading, page.checkpoint.pages) for row in page.rows]

    def numbers(self, reading: int) -> set[int]:
        """The version numbers of one reading."""
        return {landed.row.Version for landed in self.rows if landed.reading == reading}

    def newest(self) -> Iterator[ImageVersion]:
        """One row a version: its newest incarnation in its newest state."""
        best: dict[int, Landed] = {}
        for landed in self.rows:
            number = landed.row.Version
            if number not in best or landed.precedence > best[number].precedence:
                best[number] = landed
        return (landed.row for landed in best.values())


@dataclass(frozen=True, slots=True)
class Stored:
    """One version as it is stored."""

    row: ImageVersion
    evidence: Evidence | None = None

    @property
    def live(self) -> bool:
        """Whether it is not marked deleted."""
        return self.evidence is None


@dataclass(slots=True)
class Store:
    """The tables of one stream."""

    versions: dict[int, Stored] = field(default_factory=dict)
    absent: list[tuple[int, int]] = field(default_factory=list)
    listed: bool = False
    image_live: bool = False
    watermark_ms: int | None = None
    last_full_at_ms: int | None = None
    highest: int | None = None
    first: int | None = None

    def copy(self) -> Store:
        """A store that goes its own way from here."""
        return replace(self, versions=dict(self.versions), absent=list(self.absent))

    def live(self) -> dict[int, ImageVersion]:
        """The versions that are not marked deleted."""
        return {number: _as_listed(stored.row) for number, stored in self.versions.items() if stored.live}

    def knowledge(self) -> StreamKnowledge | None:
        """What the planner gets to know."""
        if not self.listed:
            return None
        return StreamKnowledge(
            live_versions=len(self.live()),
            watermark_ms=self.watermark_ms,
            last_full_at_ms=self.last_full_at_ms,
            highest_version=self.highest,
            first_version_seen=self.first,
            image_live=self.image_live,
        )

    def findings(self, landing: Landing, mark: Checkpoint) -> Findings:
        """Hold a listing that was read to its end against what is stored."""
        this, before = landing.numbers(mark.reading), landing.numbers(mark.reading - 1)
        full = mark.request.kind is ListingKind.FULL
        known = this | before
        if full:
            known |= self.versions.keys()
        elif self.highest is not None:
            known |= {self.highest}
        gaps = [
            (first + 1, following - 1)
            for first, following in pairwise(sorted(known))
            if following - first > 1
            and mark.highest_version is not None
            and following <= mark.highest_version
            and (full or (self.highest is not None and following > self.highest))
        ]
        return Findings(
            missing=tuple(sorted(self.live().keys() - this)) if full else (),
            gaps=tuple(gap for gap in gaps if not self._absent(gap)),
            agrees=mark.t0_before_ms is not None and before <= this,
        )

    def _absent(self, gap: tuple[int, int]) -> bool:
        return any(first <= gap[0] and gap[1] <= last for first, last in self.absent)

    def load(self, landing: Landing, *, image_listed: bool) -> list[Stored]:
        """Load a run; return what it marked deleted."""
        self.image_live |= image_listed
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
        for row in landing.newest():
            stored = self.versions.get(row.Version)
            if stored is None or row.CreationTime > stored.row.CreationTime:
                self.versions[row.Version] = Stored(row)
                continue
            same = row.CreationTime == stored.row.CreationTime
            if same and (row.LastModifiedTime >= stored.row.LastModifiedTime or full):
                self.versions[row.Version] = Stored(row)

    def _delete(self, landing: Landing, mark: Checkpoint) -> list[Stored]:
        proofs = _proofs(landing, mark)
        chosen = {
            number: proof.evidence
            for proof in proofs
            for number, stored in self.versions.items()
            if stored.live and proof.first <= number <= proof.last
        }
        if not may_delete(len(chosen), len(self.live()), allowed=False):
            return []
        for number, evidence in chosen.items():
            self.versions[number] = replace(self.versions[number], evidence=evidence)
        self.absent += [
            (proof.first, proof.last)
            for proof in proofs
            if proof.evidence is not Evidence.IMAGE_NOT_FOUND
            and not any(proof.first <= number <= proof.last for number in self.versions)
        ]
        return [self.versions[number] for number in chosen]

    def _remember(self, mark: Checkpoint) -> None:
        reached = watermark_ms(mark)
        if reached is not None:
            self.watermark_ms = reached if self.watermark_ms is None else max(self.watermark_ms, reached)
        if mark.outcome is Outcome.COMPLETE and mark.request.kind is ListingKind.FULL:
            self.last_full_at_ms = _greatest(self.last_full_at_ms, mark.t0_ms)
        if self.versions:
            self.highest = _greatest(self.highest, max(self.versions))
            self.first = min(self.versions) if self.first is None else min(self.first, *self.versions)


def _greatest(first: int | None, second: int | None) -> int | None:
    return max((number for number in (first, second) if number is not None), default=None)


def _proofs(landing: Landing, mark: Checkpoint) -> list[Absence]:
    if mark.outcome is Outcome.GONE:
        return [Absence(STREAM, 0, _HIGHEST_NUMBER, Evidence.IMAGE_NOT_FOUND, 0)]
    return landing.absences if mark.outcome is Outcome.COMPLETE else []


def _as_listed(row: ImageVersion) -> ImageVersion:
    """The row without what only Describe tells of it."""
    if type(row) is ImageVersion:
        return row
    return ImageVersion(**{name: getattr(row, name) for name in ImageVersion.__struct_fields__})


def unlike(store: Store, truth: Iterable[ImageVersion]) -> set[int]:
    """The numbers of versions that exist and are stored otherwise, or not at all."""
    live = store.live()
    return {row.Version for row in truth if live.get(row.Version) != row}
