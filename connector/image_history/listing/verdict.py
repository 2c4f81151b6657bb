"""Whether a listing that was read to its end is accepted, and what it then proves absent.

Pure decisions on numbers; must not know calls, SQL or files. They hold for keyset, offset and snapshot
tokens alike: a listing by version number can lose a row only where a number is missing between two others,
or at its end, where the last page then is empty.
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
    """A version that a listing lacks and that lived, created at `created_ms` (UTC epoch milliseconds).

    `stored` is False for one that was landed by an earlier reading of the same run only.
    """

    version: int
    created_ms: int
    stored: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """What is odd about one listing, held against what is stored and what the run landed before.

    `missing` are versions that a full listing lacks although they are stored as live, or that any listing lacks
    although an earlier reading had them. `gaps` are ranges of numbers, between the first ever seen and the
    highest known, of which nothing is known. `agrees` says that everything that the reading before had is in
    this one too: then that reading skipped nothing, and what both lack is gone. `unfounded` is an incremental
    listing that starts after what the warehouse has read. `recreated_ms` is when the image was created, if
    versions are stored as live that are older. Of an image that is gone, `lives` counts its live versions, and
    nothing that is known of it was created after `known_until_ms`. Instants in UTC epoch milliseconds.
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
        """How many live versions it would mark deleted, if all suspects are gone; what the breaker counts."""
        return self.lives + sum(suspect.stored for suspect in self.missing)

    @property
    def suspects(self) -> int:
        """How many version numbers must be explained."""
        return len(self.missing) + sum(last - first + 1 for first, last in self.gaps)


class Said(Enum):
    """What DescribeImageVersion said of one number."""

    FOUND = "found"
    NOT_FOUND = "not found"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Described:
    """What was said of one number, and the server's Date of that (UTC epoch milliseconds)."""

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
    """Decide how a listing in outcome READ is settled, at the least number of calls.

    One page is atomic: what it lacks it proves, but a stored version is asked for by Describe before it is
    called deleted. Several pages are settled by asking for every suspect if those are fewer than the pages,
    else by reading until two readings in a row agree. `may_describe` is false once IAM has refused
    DescribeImageVersion in the scope; two readings that agree then have to do.
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
    """No number may be unexplained; a few are asked for, else it is read in full.

    Several pages are read until nothing that one reading had is gone in the next: with tokens that count
    rows, only the deletion of a row that was returned makes the list skip another, and no number tells.
    """
    if checkpoint.pages > 1 and not findings.agrees:
        return _again(checkpoint)
    if findings.suspects == 0:
        return Step.ACCEPT
    few = findings.suspects <= FEW_SUSPECTS
    return Step.DESCRIBE_ALL if may_describe and few else Step.READ_IN_FULL


# As many calls as a page of AWS's default size has rows: more would cost more than the listing.
FEW_SUSPECTS = 10


def absences(
    checkpoint: Checkpoint, findings: Findings, described: Mapping[int, Described]
) -> tuple[Absence, ...]:
    """What an accepted listing proves absent, each number with the strongest evidence that there is.

    A number that Describe found is not among them. What is older than its image ended with the image before.
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
    """The image was gone before it was created again, and so was everything that it had."""
    proof = _absence(checkpoint, (0, HIGHEST_NUMBER), Evidence.IMAGE_RECREATED, None)
    return replace(proof, t1_ms=recreated_ms, created_until_ms=recreated_ms - 1)


def accepted(checkpoint: Checkpoint, findings: Findings) -> Checkpoint:
    """The checkpoint of a listing that is proved complete.

    Of two readings that agree, the first one's T0 counts: what came after it may be lacking in both.
    """
    first_t0 = checkpoint.t0_before_ms if findings.agrees else None
    return replace(
        checkpoint,
        outcome=Outcome.COMPLETE,
        t0_ms=first_t0 if first_t0 is not None else checkpoint.t0_ms,
    )


def gone(checkpoint: Checkpoint, findings: Findings) -> tuple[Checkpoint, Absence]:
    """The checkpoint of an image that AWS no longer knows, and the proof that ends all that is known of it."""
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
