"""Whether a listing that was read to its end is accepted, and what it then proves absent.

Pure decisions on numbers; must not know calls, SQL or files. They hold for keyset, offset and snapshot
tokens alike: a listing by version number can lose a row only where a number is missing between two others,
or at its end, where the last page then is empty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import Enum

from image_history.listing.pages import MAX_READINGS
from image_history.model import Absence, Checkpoint, Evidence, ListingKind, Numbers, Outcome


@dataclass(frozen=True, slots=True)
class Findings:
    """What is odd about one listing, held against what is stored.

    `missing` are versions stored as live that a full listing lacks. `gaps` are ranges of numbers, between
    the first ever seen and the last listed, of which nothing is known. `agrees` says that everything that
    the reading before had is in this one too: then that reading skipped nothing, and what both lack is gone.
    """

    missing: tuple[int, ...] = ()
    gaps: tuple[Numbers, ...] = ()
    agrees: bool = False

    @property
    def suspects(self) -> int:
        """How many version numbers are unexplained."""
        return len(self.missing) + sum(last - first + 1 for first, last in self.gaps)


class Described(Enum):
    """What DescribeImageVersion said of one number."""

    FOUND = "found"
    NOT_FOUND = "not found"
    DENIED = "denied"


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
    if checkpoint.request.kind is ListingKind.INCREMENTAL:
        return _incremental(checkpoint, findings, may_describe=may_describe)
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
    """New numbers must follow on the highest known; a hole between them is asked for, or read in full.

    Several pages are read until nothing that one reading had is gone in the next: with tokens that count
    rows, only the deletion of a row that was returned makes the list skip another, and no number tells.
    """
    if checkpoint.pages > 1 and not findings.agrees:
        return _again(checkpoint)
    if not findings.gaps:
        return Step.ACCEPT
    few = findings.suspects <= _FEW
    return Step.DESCRIBE_ALL if may_describe and few else Step.READ_IN_FULL


_FEW = 10


def absences(
    checkpoint: Checkpoint, findings: Findings, described: Mapping[int, Described]
) -> tuple[Absence, ...]:
    """What an accepted listing proves absent, each number with the strongest evidence that there is.

    A number that Describe found is not among them.
    """
    by_listing = Evidence.ABSENT_TWICE if findings.agrees else Evidence.SINGLE_PAGE
    proofs = [
        _absence(
            checkpoint, (number, number), Evidence.DESCRIBE_NOT_FOUND if number in described else by_listing
        )
        for number in findings.missing
        if described.get(number) is not Described.FOUND
    ]
    for gap in findings.gaps:
        asked = gap[0] in described
        parts = _not_found_in(gap, described) if asked else [gap]
        proofs += [
            _absence(checkpoint, part, Evidence.DESCRIBE_NOT_FOUND if asked else by_listing) for part in parts
        ]
    return tuple(proofs)


def _not_found_in(gap: Numbers, described: Mapping[int, Described]) -> Iterable[Numbers]:
    """The parts of a gap that Describe did not find, as ranges."""
    first: int | None = None
    for number in range(gap[0], gap[1] + 2):
        absent = number <= gap[1] and described.get(number) is Described.NOT_FOUND
        if absent and first is None:
            first = number
        if not absent and first is not None:
            yield (first, number - 1)
            first = None


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


def _absence(checkpoint: Checkpoint, numbers: Numbers, evidence: Evidence) -> Absence:
    if checkpoint.t0_ms is None:
        raise ValueError(f"{checkpoint.stream} proves nothing before its first page")
    return Absence(checkpoint.stream, numbers[0], numbers[1], evidence, checkpoint.t0_ms)


def may_delete(deletions: int, live: int, *, allowed: bool) -> bool:
    """Whether so many deletions of a scope's live versions pass the mass-delete breaker."""
    return allowed or deletions <= max(_FEW, live * 3 // 10)
