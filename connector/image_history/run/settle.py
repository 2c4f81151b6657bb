"""Settles listings that were read to their end: accepts them, looks up suspects, or has them read again.

Makes the calls that verdict.py decides on; must not know SQL, segments, or boto3.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from image_history.aws.bodies import ImageVersion
from image_history.durable.effects import Effect, fault_point
from image_history.errors import (
    AccessDeniedError,
    FatalError,
    HeldBackError,
    ImageNotFoundError,
    InterruptedRunError,
    ListingUnstableError,
    SkippableError,
    TransientError,
)
from image_history.extract.calls import ScopeCalls
from image_history.extract.workers import together
from image_history.listing.breaker import LIMIT, tripped
from image_history.listing.pages import PageRead, Sink, ended, read_again
from image_history.listing.verdict import (
    Described,
    Findings,
    Said,
    Step,
    absences,
    accepted,
    gone,
    next_step,
)
from image_history.model import Checkpoint, ListingKind, ListingRequest, Outcome, Scope, Stop, Stream

logger = logging.getLogger(__name__)

_NONE: Mapping[Checkpoint, int] = {}
_ASKING = frozenset({Step.DESCRIBE_MISSING, Step.DESCRIBE_ALL})


@dataclass(frozen=True, slots=True)
class _Answer:
    """The answer of Describe for one number, with the row if it found one."""

    number: int
    described: Described
    row: ImageVersion | None = None


@dataclass(slots=True)
class Settler:
    """Settles the listings of one run. `sink` takes verdicts in the same way as pages.

    If the mass-delete breaker trips in a scope, its listings that lack live versions end as held back, without
    lookups. `lost` has the scopes that had to be given up. `concurrency` limits the parallel Describe calls of one
    listing. A scope is added to `undescribable` when AWS denies DescribeImageVersion there; rounds that share the set
    do not make this call there again.
    """

    scopes: Mapping[Scope, ScopeCalls]
    sink: Sink
    stop: Stop
    concurrency: int
    allow_mass_delete: bool = False
    lost: dict[Scope, FatalError] = field(default_factory=dict)
    undescribable: set[Scope] = field(default_factory=set)

    def settle(
        self,
        waiting: Sequence[Checkpoint],
        findings: Mapping[Stream, Findings],
        live: Mapping[Scope, int],
        settled: Mapping[Checkpoint, int] = _NONE,
    ) -> tuple[Checkpoint, ...]:
        """Settle all listings in outcome READ or MISSING in one round; return those that must be read again.

        Scopes are settled in parallel. If a lookup fails, its stream ends as failed. A scope in which no call is
        possible any more is added to `lost`, and its other listings stay as they are. `settled` has the listings of
        the run that earlier rounds accepted, with the number of deletions that each proves.
        """
        held = self._hold_back(waiting, findings, live, settled)
        by_scope: dict[Scope, list[Checkpoint]] = {}
        for checkpoint in waiting:
            if checkpoint.stream.scope in self.scopes and checkpoint.stream not in held:
                by_scope.setdefault(checkpoint.stream.scope, []).append(checkpoint)
        jobs: dict[bool, list[Callable[[], Sequence[Checkpoint]]]] = {True: [], False: []}
        for scope, marks in by_scope.items():
            asks = any(self._asks(mark, findings) for mark in marks)
            jobs[asks].append(partial(self._settle_scope, scope, marks, findings))
        again = [job() for job in jobs[False]]
        again += together(jobs[True], max(1, len(jobs[True])), self.stop)
        self.stop.check()
        return tuple(checkpoint for marks in again for checkpoint in marks)

    def _asks(self, checkpoint: Checkpoint, findings: Mapping[Stream, Findings]) -> bool:
        """Whether calls to AWS may be needed: only then is it worth using a thread."""
        found = findings.get(checkpoint.stream, Findings())
        return next_step(checkpoint, found, may_describe=True) in _ASKING

    def _settle_scope(
        self, scope: Scope, waiting: Iterable[Checkpoint], findings: Mapping[Stream, Findings]
    ) -> Sequence[Checkpoint]:
        again: list[Checkpoint] = []
        for checkpoint in waiting:
            if self.stop.requested:
                break
            try:
                verdict = self._try(checkpoint, findings.get(checkpoint.stream, Findings()))
            except InterruptedRunError:
                break
            except FatalError as error:
                self.lost[scope] = error
                break
            if verdict.checkpoint.readable:
                again.append(verdict.checkpoint)
            self.sink(verdict)
        return again

    def _hold_back(
        self,
        waiting: Iterable[Checkpoint],
        findings: Mapping[Stream, Findings],
        live: Mapping[Scope, int],
        settled: Mapping[Checkpoint, int],
    ) -> frozenset[Stream]:
        """End the listings that lack live versions, in scopes that lack too many; return their streams.

        Listings that an earlier round accepted are held back too, so that nothing of such a scope is marked deleted.
        """
        doomed = {mark: findings[mark.stream].doomed for mark in waiting if mark.stream in findings} | dict(
            settled
        )
        by_scope: Counter[Scope] = Counter()
        for mark, count in doomed.items():
            by_scope[mark.stream.scope] += count
        over = tripped(by_scope, live, allowed=self.allow_mass_delete)
        for scope, count in over.items():
            logger.error("mass_delete_stopped", extra={"scope": str(scope), "versions": count})
        held = {mark: count for mark, count in doomed.items() if count and mark.stream.scope in over}
        for mark, count in held.items():
            self.sink(PageRead((), _held_back(mark, count)))
        return frozenset(mark.stream for mark in held)

    def _try(self, checkpoint: Checkpoint, findings: Findings) -> PageRead:
        try:
            return self._verdict(checkpoint, findings)
        except (TransientError, SkippableError) as error:
            logger.warning(
                "stream_not_settled", extra={"stream": str(checkpoint.stream), "reason": str(error)}
            )
            return PageRead((), ended(checkpoint, Outcome.FAILED, error))

    def _verdict(self, checkpoint: Checkpoint, findings: Findings) -> PageRead:
        scope = checkpoint.stream.scope
        if checkpoint.outcome is Outcome.MISSING:
            ending, proof = gone(checkpoint, findings)
            return PageRead((), ending, (proof,))
        step = next_step(checkpoint, findings, may_describe=scope not in self.undescribable)
        if step in _ASKING:
            answers = self._describe(checkpoint.stream, _suspects(findings, step))
            if all(answer.described.said is not Said.DENIED for answer in answers):
                return _accept(checkpoint, findings, answers)
            self.undescribable.add(scope)
            return self._verdict(checkpoint, findings)
        if step is Step.ACCEPT:
            return _accept(checkpoint, findings, ())
        return PageRead((), _unproved(checkpoint, step))

    def _describe(self, stream: Stream, numbers: Sequence[int]) -> list[_Answer]:
        calls = self.scopes[stream.scope]
        jobs = [lambda n=number: _ask(calls, stream.image_name, n) for number in numbers]
        answers = together(jobs, max(1, min(self.concurrency, len(jobs))), self.stop)
        fault_point(Effect.FETCHED, "DescribeImageVersion")
        self.stop.check()
        return answers


def _suspects(findings: Findings, step: Step) -> list[int]:
    gaps = findings.gaps if step is Step.DESCRIBE_ALL else ()
    missing = (suspect.version for suspect in findings.missing)
    return [*missing, *(number for first, last in gaps for number in range(first, last + 1))]


def _ask(calls: ScopeCalls, image_name: str, number: int) -> _Answer:
    try:
        answer = calls.describe_image_version(image_name, number)
    except ImageNotFoundError as error:
        return _Answer(number, Described(Said.NOT_FOUND, error.date_ms))
    except AccessDeniedError:
        return _Answer(number, Described(Said.DENIED))
    return _Answer(number, Described(Said.FOUND, answer.date_ms), answer.body)


def _accept(checkpoint: Checkpoint, findings: Findings, answers: Sequence[_Answer]) -> PageRead:
    """The accepted listing with the absences that it proves, and the rows that only Describe found."""
    described = {answer.number: answer.described for answer in answers}
    found = [answer.row for answer in answers if answer.row is not None]
    complete = replace(accepted(checkpoint, findings), phantoms=len(found))
    return PageRead(found, complete, absences(complete, findings, described))


def _held_back(checkpoint: Checkpoint, count: int) -> Checkpoint:
    error = HeldBackError(
        f"{checkpoint.stream} lacks {count:,} of its versions, and its account and region lack {LIMIT}: no version "
        "was marked deleted. If they are really gone, run sync --allow-mass-delete; until then each sync lists the "
        "image in full."
    )
    return replace(ended(checkpoint, Outcome.HELD_BACK, error), held_back=count)


def _unproved(checkpoint: Checkpoint, step: Step) -> Checkpoint:
    if step is Step.GIVE_UP:
        error = ListingUnstableError(
            f"{checkpoint.reading} readings of {checkpoint.stream} differ from each other: its rows are kept, "
            "its watermark stays, nothing of it is deleted, and the next sync reads it again."
        )
        return ended(checkpoint, Outcome.UNSTABLE, error)
    if step is Step.READ_IN_FULL:
        return read_again(checkpoint, ListingRequest(ListingKind.FULL, checkpoint.request.page_size))
    return read_again(checkpoint)
