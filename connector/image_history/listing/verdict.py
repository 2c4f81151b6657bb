"""Decides whether a listing that was read to its end is accepted, and which absences it then proves.

Pure decisions on numbers; must not know calls, SQL or files. They are valid for keyset, offset and snapshot tokens:
if a listing by version number skips a row, either a number is missing between two others, or the row was at the
end and the last page is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from image_history.listing.pages import MARGIN_MS, MAX_READINGS
from image_history.model import (
    HIGHEST_NUMBER,
    Absence,
    Checkpoint,
    Evidence,
    ListingKind,
    Numbers,
    Outcome,
)


@dataclass(frozen=True, slots=True)
class Suspect:
    """A version that was live and that a listing lacks, created at `created_ms` (UTC epoch milliseconds).

    `stored` is False if it is not stored as live: an earlier reading of the same run landed it.
    """

    version: int
    created_ms: int
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """The result of comparing one listing with the stored rows, and with the rows that the run landed before.

    `missing` are versions that a full listing lacks although they are stored as live, or that any listing lacks
    although an earlier reading had them. `gaps` are ranges of numbers between the lowest known number and the
    highest, of which nothing is known. `agrees` says that this reading has every number of the previous one: then the
    previous reading skipped nothing, and numbers that both lack are absent. `unfounded` says that an incremental
    listing starts after the stored watermark. `recreated_ms` is when the image was created, if older versions are
    stored as live. For an image that is gone, `lives` counts the stored live versions, and `known_until_ms` is the
    newest CreationTime that is known of the image or its versions. Instants in UTC epoch milliseconds.
    """

    missing: tuple[Suspect, ...] = ()
    gaps: tuple[Numbers, ...] = ()
    agrees: bool = False
    unfounded: bool = False
    recreated_ms: int | None = None
    lives: int = 0
    known_until_ms: int | None = None

    @property
    def doomed(self) -> int:
        """How many live versions would be marked deleted if all suspects are gone; the breaker counts these."""
        return self.lives + sum(suspect.stored for suspect in self.missing)

    @property
    def suspects(self) -> int:
        """How many version numbers must be explained."""
        return len(self.missing) + sum(last - first + 1 for first, last in self.gaps)


class Said(Enum):
    """How DescribeImageVersion answered for one number."""

    FOUND = "found"
    NOT_FOUND = "not found"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Described:
    """The answer for one number, and the server's Date of the answer (UTC epoch milliseconds)."""

    said: Said
    date_ms: int = 0


class Step(Enum):
    """What a listing needs next."""

    ACCEPT = "accept"
    DESCRIBE_MISSING = "describe missing"
    DESCRIBE_ALL = "describe all"
    READ_AGAIN = "read again"
    READ_IN_FULL = "read in full"
    GIVE_UP = "give up"


def next_step(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    """Decide how a listing in outcome READ is settled, with the fewest calls.

    A listing of one page is atomic: a number that it lacks is absent. But a version is looked up with Describe before
    it counts as deleted. In a listing of several pages, every suspect is looked up if there are fewer suspects than
    pages; otherwise the listing is repeated until two readings in a row agree. `may_describe` is false once IAM has
    denied DescribeImageVersion in the scope; then two readings that agree are enough.
    """
    if findings.unfounded:
        return Step.READ_IN_FULL
    if checkpoint.request.kind is ListingKind.INCREMENTAL:
        return _incremental(checkpoint, findings, may_describe=may_describe)
    return _full(checkpoint, findings, may_describe=may_describe)


def _full(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    whole = findings.suspects == 0 and not checkpoint.empty_tail
    if whole:
        return Step.ACCEPT
    proved = findings.agrees or checkpoint.pages == 1
    if proved and (not findings.missing or may_describe):
        return Step.DESCRIBE_MISSING if findings.missing else Step.ACCEPT
    if findings.agrees:
        return Step.ACCEPT
    if may_describe and not checkpoint.empty_tail and findings.suspects < checkpoint.pages:
        return Step.DESCRIBE_ALL
    return _again(checkpoint)


def _again(checkpoint: Checkpoint) -> Step:
    return Step.READ_AGAIN if checkpoint.reading < MAX_READINGS else Step.GIVE_UP


def _incremental(checkpoint: Checkpoint, findings: Findings, *, may_describe: bool) -> Step:
    """No number may be unexplained: a few are looked up; if there are more, the image is listed in full.

    A listing of several pages is repeated until a reading has every number of the previous one. With tokens that
    count rows, a list skips a row only if a row that was already returned is deleted, and no number shows this.
    """
    if checkpoint.pages > 1 and not findings.agrees:
        return _again(checkpoint)
    if findings.suspects == 0:
        return Step.ACCEPT
    few = findings.suspects <= FEW_SUSPECTS
    return Step.DESCRIBE_ALL if may_describe and few else Step.READ_IN_FULL


# The default page size of AWS: looking up more numbers would usually cost more calls than the listing.
FEW_SUSPECTS = 10


def absences(
    checkpoint: Checkpoint, findings: Findings, described: Mapping[int, Described]
) -> tuple[Absence, ...]:
    """The absences that an accepted listing proves, each number with the strongest evidence that there is.

    Numbers that Describe found are left out. Versions that are older than their image ended with the earlier image.
    """
    by_listing = Evidence.ABSENT_TWICE if findings.agrees else Evidence.SINGLE_PAGE
    proofs: list[Absence] = []
    for suspect in findings.missing:
        answer = described.get(suspect.version)
        if answer is None or answer.said is not Said.FOUND:
            evidence = by_listing if answer is None else Evidence.DESCRIBE_NOT_FOUND
            proof = _absence(checkpoint, (suspect.version, suspect.version), evidence, answer)
            proofs.append(replace(proof, created_until_ms=suspect.created_ms, lives=int(suspect.stored)))
    for gap in findings.gaps:
        proofs += _gap_absences(checkpoint, gap, described, by_listing)
    if findings.recreated_ms is not None and checkpoint.request.kind is ListingKind.FULL:
        proofs.append(_before_recreation(checkpoint, findings.recreated_ms))
    return tuple(proofs)


def _gap_absences(
    checkpoint: Checkpoint, gap: Numbers, described: Mapping[int, Described], by_listing: Evidence
) -> Iterable[Absence]:
    if gap[0] not in described:
        yield _absence(checkpoint, gap, by_listing, None)
        return
    for first, last in _not_found_in(gap, described):
        newest = max((described[number] for number in range(first, last + 1)), key=lambda each: each.date_ms)
        yield _absence(checkpoint, (first, last), Evidence.DESCRIBE_NOT_FOUND, newest)


def _not_found_in(gap: Numbers, described: Mapping[int, Described]) -> Iterable[Numbers]:
    """The parts of a gap that Describe did not find, as ranges."""
    first: int | None = None
    for number in range(gap[0], gap[1] + 2):
        absent = number <= gap[1] and number in described and described[number].said is Said.NOT_FOUND
        if absent and first is None:
            first = number
        if not absent and first is not None:
            yield (first, number - 1)
            first = None


def _before_recreation(checkpoint: Checkpoint, recreated_ms: int) -> Absence:
    """The absence of all versions of the earlier image: it was deleted before the image was created again."""
    proof = _absence(checkpoint, (0, HIGHEST_NUMBER), Evidence.IMAGE_RECREATED, None)
    return replace(proof, t1_ms=recreated_ms, created_until_ms=recreated_ms - 1)


def accepted(checkpoint: Checkpoint, findings: Findings) -> Checkpoint:
    """The checkpoint of a listing that is proved complete.

    If two readings agree, the T0 of the first one counts: both may lack a later change.
    """
    first_t0 = checkpoint.t0_before_ms if findings.agrees else None
    return replace(
        checkpoint,
        outcome=Outcome.COMPLETE,
        t0_ms=first_t0 if first_t0 is not None else checkpoint.t0_ms,
    )


def gone(checkpoint: Checkpoint, findings: Findings) -> tuple[Checkpoint, Absence]:
    """The checkpoint of an image that AWS no longer knows, and the proof that ends all its known versions."""
    proof = _absence(checkpoint, (0, HIGHEST_NUMBER), Evidence.IMAGE_NOT_FOUND, None)
    until_ms = proof.t0_ms if findings.known_until_ms is None else findings.known_until_ms
    return (
        replace(checkpoint, outcome=Outcome.GONE),
        replace(proof, created_until_ms=until_ms, lives=findings.lives),
    )


def _absence(
    checkpoint: Checkpoint, numbers: Numbers, evidence: Evidence, described: Described | None
) -> Absence:
    if checkpoint.t0_ms is None or checkpoint.t1_ms is None:
        raise ValueError(f"{checkpoint.stream} proves nothing before its first page")
    t1_ms = checkpoint.t1_ms if described is None else max(checkpoint.t1_ms, described.date_ms + MARGIN_MS)
    return Absence(checkpoint.stream, numbers[0], numbers[1], evidence, checkpoint.t0_ms, t1_ms)
