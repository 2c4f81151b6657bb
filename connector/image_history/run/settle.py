"""Settles listings that were read to their end: accepts them, asks about suspects, or has them read again.

The thin loop of effects around verdict.py; must not know SQL, segments, or boto3.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from image_history.aws.bodies import ImageVersion
from image_history.durable.effects import Effect, reach
from image_history.errors import (
    AccessDeniedError,
    FatalError,
    ImageNotFoundError,
    InterruptedRunError,
    ListingUnstableError,
    SkippableError,
    TransientError,
)
from image_history.extract.calls import ScopeCalls
from image_history.extract.side_by_side import Sink
from image_history.extract.workers import together
from image_history.listing.pages import PageRead, ended, read_again
from image_history.listing.verdict import Described, Findings, Step, absences, accepted, may_delete, next_step
from image_history.model import Checkpoint, ListingKind, ListingRequest, Outcome, Scope, Stop, Stream

logger = logging.getLogger(__name__)

_ASKING = frozenset({Step.DESCRIBE_MISSING, Step.DESCRIBE_ALL})


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Describe said of one number, with the row if it found one."""

    number: int
    said: Described
    row: ImageVersion | None = None


@dataclass(slots=True)
class Settler:
    """Settles the listings of one run, round by round. `sink` takes verdicts as it takes pages.

    Deletions beyond the mass-delete breaker are not even asked for: `spared` counts them by scope. `lost` are
    the scopes that had to be given up. `concurrency` bounds the Describe calls of one listing.
    """

    scopes: Mapping[Scope, ScopeCalls]
    sink: Sink
    stop: Stop
    concurrency: int
    allow_mass_delete: bool = False
    spared: dict[Scope, int] = field(default_factory=dict)
    lost: dict[Scope, FatalError] = field(default_factory=dict)
    _undescribable: set[Scope] = field(default_factory=set)

    def settle(
        self,
        waiting: Sequence[Checkpoint],
        findings: Mapping[Stream, Findings],
        live: Mapping[Scope, int],
    ) -> tuple[Checkpoint, ...]:
        """One round over all listings in outcome READ; returns those that must be read again.

        Scopes are settled side by side. A stream whose suspects AWS does not answer for ends as failed; a
        scope that can no longer be asked at all is added to `lost`, and its other listings stay as they are.
        """
        self._spare(findings, live)
        by_scope: dict[Scope, list[Checkpoint]] = {}
        for checkpoint in waiting:
            if checkpoint.stream.scope in self.scopes:
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
        """Whether AWS may have to be asked: only then is a thread worth its while."""
        return next_step(checkpoint, self._judged(checkpoint, findings), may_describe=True) in _ASKING

    def _judged(self, checkpoint: Checkpoint, findings: Mapping[Stream, Findings]) -> Findings:
        """What the listing is judged by: of a scope that the breaker spares nothing is missing."""
        found = findings.get(checkpoint.stream, Findings())
        return replace(found, missing=()) if checkpoint.stream.scope in self.spared else found

    def _settle_scope(
        self, scope: Scope, waiting: Iterable[Checkpoint], findings: Mapping[Stream, Findings]
    ) -> Sequence[Checkpoint]:
        again: list[Checkpoint] = []
        for checkpoint in waiting:
            if self.stop.requested:
                break
            try:
                verdict = self._try(checkpoint, self._judged(checkpoint, findings))
            except InterruptedRunError:
                break
            except FatalError as error:
                self.lost[scope] = error
                break
            if verdict.checkpoint.readable:
                again.append(verdict.checkpoint)
            self.sink(verdict)
        return again

    def _spare(self, findings: Mapping[Stream, Findings], live: Mapping[Scope, int]) -> None:
        """Trip the breaker of every scope that lacks too many of its live versions."""
        missing: dict[Scope, int] = {}
        for stream, finding in findings.items():
            missing[stream.scope] = missing.get(stream.scope, 0) + len(finding.missing)
        for scope, count in missing.items():
            if not may_delete(count, live.get(scope, 0), allowed=self.allow_mass_delete):
                logger.error("mass_delete_stopped", extra={"scope": str(scope), "versions": count})
                self.spared[scope] = count

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
        step = next_step(checkpoint, findings, may_describe=scope not in self._undescribable)
        if step in _ASKING:
            answers = self._describe(checkpoint.stream, _asked(findings, step))
            if all(answer.said is not Described.DENIED for answer in answers):
                return _accept(checkpoint, findings, answers)
            self._undescribable.add(scope)
            return self._verdict(checkpoint, findings)
        if step is Step.ACCEPT:
            return _accept(checkpoint, findings, ())
        return PageRead((), _unproved(checkpoint, step))

    def _describe(self, stream: Stream, numbers: Sequence[int]) -> list[_Answer]:
        calls = self.scopes[stream.scope]
        jobs = [lambda n=number: _ask(calls, stream.image_name, n) for number in numbers]
        answers = together(jobs, max(1, min(self.concurrency, len(jobs))), self.stop)
        reach(Effect.FETCHED, "DescribeImageVersion")
        self.stop.check()
        return answers


def _asked(findings: Findings, step: Step) -> list[int]:
    gaps = findings.gaps if step is Step.DESCRIBE_ALL else ()
    return [*findings.missing, *(number for first, last in gaps for number in range(first, last + 1))]


def _ask(calls: ScopeCalls, image_name: str, number: int) -> _Answer:
    try:
        answer = calls.describe_image_version(image_name, number)
    except ImageNotFoundError:
        return _Answer(number, Described.NOT_FOUND)
    except AccessDeniedError:
        return _Answer(number, Described.DENIED)
    return _Answer(number, Described.FOUND, answer.body)


def _accept(checkpoint: Checkpoint, findings: Findings, answers: Sequence[_Answer]) -> PageRead:
    """The accepted listing with what it proves, and the rows that only Describe found."""
    described = {answer.number: answer.said for answer in answers}
    found = [answer.row for answer in answers if answer.row is not None]
    complete = replace(accepted(checkpoint, findings), phantoms=len(found))
    return PageRead(found, complete, absences(complete, findings, described))


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
