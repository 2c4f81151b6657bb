"""When a listing that was read to its end is accepted, and what it proves."""

from __future__ import annotations

from dataclasses import replace

import pytest

from image_history.listing.breaker import tripped
from image_history.listing.pages import MAX_READINGS, read_again
from image_history.listing.verdict import (
    Described,
    Findings,
    Said,
    Step,
    Suspect,
    absences,
    accepted,
    gone,
    next_step,
)
from image_history.model import (
    Absence,
    Checkpoint,
    Evidence,
    ListingKind,
    ListingRequest,
    Outcome,
    Scope,
    Stream,
)

STREAM = Stream(Scope("111122223333", "us-east-1"), "base")
T0_MS = 1_790_000_000_000
T1_MS = T0_MS + 2_000
CREATED_MS = T0_MS - 86_400_000
NOTHING = Findings()


def read(*, pages: int = 1, kind: ListingKind = ListingKind.FULL, reading: int = 1) -> Checkpoint:
    """A listing that was read to its end."""
    return Checkpoint(
        STREAM,
        ListingRequest(kind, 100, 0 if kind is ListingKind.INCREMENTAL else None),
        outcome=Outcome.READ,
        pages=pages,
        rows=pages * 100,
        reading=reading,
        t0_ms=T0_MS,
        t1_ms=T1_MS,
    )


def lost(*numbers: int) -> tuple[Suspect, ...]:
    """Stored live versions that are not in a listing."""
    return tuple(Suspect(number, CREATED_MS) for number in numbers)


ONE_PAGE, TEN_PAGES = read(), read(pages=10)
NEWEST = read(kind=ListingKind.INCREMENTAL)
TWO_NEWEST = read(kind=ListingKind.INCREMENTAL, pages=2)


@pytest.mark.parametrize(
    ("mark", "findings", "may_describe", "step"),
    [
        pytest.param(ONE_PAGE, NOTHING, True, Step.ACCEPT, id="page-quiet"),
        pytest.param(ONE_PAGE, Findings(gaps=((3, 900),)), True, Step.ACCEPT, id="page-gaps"),
        pytest.param(ONE_PAGE, Findings(gaps=((3, 9),)), False, Step.ACCEPT, id="page-gaps-denied"),
        pytest.param(ONE_PAGE, Findings(missing=lost(4)), True, Step.DESCRIBE_MISSING, id="page-missing"),
        pytest.param(ONE_PAGE, Findings(missing=lost(4)), False, Step.READ_AGAIN, id="page-missing-denied"),
        pytest.param(TEN_PAGES, NOTHING, True, Step.ACCEPT, id="pages-quiet"),
        pytest.param(
            TEN_PAGES, Findings(missing=lost(1), gaps=((3, 10),)), True, Step.DESCRIBE_ALL, id="pages-few"
        ),
        pytest.param(
            TEN_PAGES, Findings(missing=lost(1), gaps=((3, 11),)), True, Step.READ_AGAIN, id="pages-many"
        ),
        pytest.param(TEN_PAGES, Findings(missing=lost(1)), False, Step.READ_AGAIN, id="pages-denied"),
        pytest.param(
            TEN_PAGES,
            Findings(missing=lost(1, 2), agrees=True),
            True,
            Step.DESCRIBE_MISSING,
            id="agreeing-missing",
        ),
        pytest.param(
            TEN_PAGES, Findings(missing=lost(1), agrees=True), False, Step.ACCEPT, id="agreeing-denied"
        ),
        pytest.param(
            TEN_PAGES, Findings(gaps=((1, 99),), agrees=True), True, Step.ACCEPT, id="agreeing-gaps"
        ),
        pytest.param(replace(TEN_PAGES, empty_tail=True), NOTHING, True, Step.READ_AGAIN, id="empty-tail"),
        pytest.param(
            replace(TEN_PAGES, empty_tail=True),
            Findings(agrees=True),
            True,
            Step.ACCEPT,
            id="empty-tail-agreeing",
        ),
        pytest.param(
            read(pages=2, reading=MAX_READINGS),
            Findings(gaps=((1, 99),)),
            True,
            Step.GIVE_UP,
            id="never-agreeing",
        ),
        pytest.param(NEWEST, NOTHING, True, Step.ACCEPT, id="newest-quiet"),
        pytest.param(NEWEST, Findings(gaps=((7, 8),)), True, Step.DESCRIBE_ALL, id="newest-hole"),
        pytest.param(NEWEST, Findings(gaps=((7, 8),)), False, Step.READ_IN_FULL, id="newest-hole-denied"),
        pytest.param(
            NEWEST, Findings(missing=lost(3), gaps=((7, 15),)), True, Step.DESCRIBE_ALL, id="newest-ten"
        ),
        pytest.param(
            NEWEST, Findings(missing=lost(3), gaps=((7, 16),)), True, Step.READ_IN_FULL, id="newest-eleven"
        ),
        pytest.param(NEWEST, Findings(gaps=((7, 70),)), True, Step.READ_IN_FULL, id="newest-large-hole"),
        pytest.param(NEWEST, Findings(missing=lost(3)), True, Step.DESCRIBE_ALL, id="newest-landed-before"),
        pytest.param(NEWEST, Findings(unfounded=True), True, Step.READ_IN_FULL, id="newest-unfounded"),
        pytest.param(
            TWO_NEWEST, Findings(unfounded=True), True, Step.READ_IN_FULL, id="newest-pages-unfounded"
        ),
        pytest.param(ONE_PAGE, Findings(recreated_ms=1), True, Step.ACCEPT, id="page-recreated"),
        pytest.param(TEN_PAGES, Findings(recreated_ms=1), True, Step.ACCEPT, id="pages-recreated"),
        pytest.param(TWO_NEWEST, NOTHING, True, Step.READ_AGAIN, id="newest-pages"),
        pytest.param(TWO_NEWEST, Findings(agrees=True), True, Step.ACCEPT, id="newest-pages-agreeing"),
        pytest.param(
            replace(TWO_NEWEST, reading=MAX_READINGS), NOTHING, True, Step.GIVE_UP, id="newest-never-agreeing"
        ),
    ],
)
def test_next_step_is_the_cheapest_proof(
    mark: Checkpoint,
    findings: Findings,
    may_describe: bool,
    step: Step,
) -> None:
    """The next step of a listing, for every kind of finding."""
    assert next_step(mark, findings, may_describe=may_describe) is step


def test_absences_carry_the_strongest_evidence() -> None:
    """A proof names its evidence: Describe's "not found", two agreeing readings, or a single page."""
    later_ms = T1_MS + 60_000
    described = {4: Described(Said.NOT_FOUND, later_ms), 5: Described(Said.FOUND, later_ms)}
    assert absences(ONE_PAGE, Findings(missing=lost(4, 5), gaps=((8, 9),)), described) == (
        Absence(STREAM, 4, 4, Evidence.DESCRIBE_NOT_FOUND, T0_MS, later_ms + 1000, CREATED_MS, 1),
        Absence(STREAM, 8, 9, Evidence.SINGLE_PAGE, T0_MS, T1_MS),
    )
    assert absences(TEN_PAGES, Findings(missing=lost(4), gaps=((8, 9),), agrees=True), {}) == (
        Absence(STREAM, 4, 4, Evidence.ABSENT_TWICE, T0_MS, T1_MS, CREATED_MS, 1),
        Absence(STREAM, 8, 9, Evidence.ABSENT_TWICE, T0_MS, T1_MS),
    )


def test_proof_ends_the_lives_that_it_names() -> None:
    """A version that only this run landed is no deletion; a recreated image ends the versions older than itself."""
    landed = Findings(missing=(Suspect(4, CREATED_MS, stored=False),))
    (proof,) = absences(ONE_PAGE, landed, {4: Described(Said.NOT_FOUND, T0_MS)})
    assert (proof.created_until_ms, proof.lives) == (CREATED_MS, 0)
    (proof,) = absences(ONE_PAGE, Findings(recreated_ms=CREATED_MS), {})
    assert (proof.evidence, proof.t1_ms) == (Evidence.IMAGE_RECREATED, CREATED_MS)
    assert (proof.created_until_ms, proof.lives) == (CREATED_MS - 1, 0)
    assert absences(NEWEST, Findings(recreated_ms=CREATED_MS), {}) == ()
    mark, proof = gone(ONE_PAGE, Findings(lives=7, known_until_ms=CREATED_MS))
    assert (mark.outcome, proof.created_until_ms, proof.lives) == (Outcome.GONE, CREATED_MS, 7)


@pytest.mark.parametrize(
    "mark", [replace(ONE_PAGE, t0_ms=None), replace(ONE_PAGE, t1_ms=None)], ids=["t0", "t1"]
)
def test_listing_without_a_time_proves_nothing(mark: Checkpoint) -> None:
    """A listing without start or end time proves the absence of neither a version nor the image."""
    with pytest.raises(ValueError, match="base proves nothing before its first page"):
        absences(mark, Findings(missing=lost(4)), {})
    with pytest.raises(ValueError, match="base proves nothing before its first page"):
        gone(mark, NOTHING)


def test_what_the_breaker_counts() -> None:
    """The breaker counts only stored live versions: the missing ones, or all of an image that is gone."""
    assert Findings(missing=(*lost(1, 2), Suspect(3, CREATED_MS, stored=False))).doomed == 2
    assert Findings(lives=5).doomed == 5
    assert Findings(recreated_ms=CREATED_MS).doomed == 0


def test_absences_leave_out_what_describe_found_in_a_gap() -> None:
    """A version that Describe found splits the proof of a gap into the ranges around it."""
    numbers = dict.fromkeys((3, 4, 6), Described(Said.NOT_FOUND)) | {5: Described(Said.FOUND)}
    assert [
        (proof.first, proof.last) for proof in absences(TEN_PAGES, Findings(gaps=((3, 6),)), numbers)
    ] == [
        (3, 4),
        (6, 6),
    ]


def test_absences_in_a_gap_end_where_nothing_was_answered() -> None:
    """A number for which Describe has no answer is not proved absent."""
    numbers = dict.fromkeys((3, 5), Described(Said.NOT_FOUND))
    proofs = absences(TEN_PAGES, Findings(gaps=((3, 6),)), numbers)
    assert [(proof.first, proof.last) for proof in proofs] == [(3, 3), (5, 5)]


def test_absences_in_a_gap_end_where_another_missing_number_begins() -> None:
    """A gap is proved absent as a whole, although the number after the gap was not found either."""
    numbers = dict.fromkeys((3, 4, 5), Described(Said.NOT_FOUND))
    proofs = absences(TEN_PAGES, Findings(missing=lost(5), gaps=((3, 4),)), numbers)
    assert [(proof.first, proof.last) for proof in proofs] == [(5, 5), (3, 4)]


def test_accepted_listing_counts_from_the_first_of_two_agreeing_readings() -> None:
    """A listing accepted after two agreeing readings counts from the first one's T0: both may lack later changes."""
    again = read_again(TEN_PAGES)
    second = replace(again, outcome=Outcome.READ, pages=10, t0_ms=T0_MS + 60_000)
    assert accepted(second, Findings(agrees=True)).t0_ms == T0_MS
    assert accepted(second, NOTHING).t0_ms == T0_MS + 60_000


def test_reading_that_contradicted_itself_is_no_one_to_agree_with() -> None:
    """Only a reading that came to its end can confirm the next one."""
    assert read_again(replace(TEN_PAGES, outcome=Outcome.READING)).t0_before_ms is None
    assert read_again(TEN_PAGES).t0_before_ms == T0_MS


def test_reading_of_another_request_is_no_one_to_agree_with() -> None:
    """A reading of another request cannot confirm a listing: an incremental one lacks all unchanged versions."""
    full = ListingRequest(ListingKind.FULL, 100)
    assert read_again(NEWEST, full).t0_before_ms is None
    assert read_again(TEN_PAGES, TEN_PAGES.request).t0_before_ms == T0_MS


@pytest.mark.parametrize(
    ("deletions", "live", "passes"),
    [(10, 10, True), (11, 36, False), (11, 37, True), (30, 100, True), (31, 100, False)],
)
def test_mass_delete_breaker_at_its_bounds(
    deletions: int,
    live: int,
    passes: bool,
) -> None:
    """More than ten deletions that are also more than 30% of the live versions are stopped unless allowed."""
    doomed = {STREAM.scope: deletions}
    assert tripped(doomed, {STREAM.scope: live}, allowed=False) == ({} if passes else doomed)
    assert tripped(doomed, {STREAM.scope: live}, allowed=True) == {}
