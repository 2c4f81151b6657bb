"""Finds which directed tests use which code: a mutant is tried only with tests in which its results differ.

A mutant that cannot run beside the original code is tried with all tests that run its statement or function. Must
not know what a mutant changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import pytest

from image_history.warehouse import warehouse
from image_history.warehouse.statements import statement
from tests.mutation.beside import Beside, can_show
from tests.mutation.functions import heard
from tests.mutation.mutants import MODULES, Mutant
from tests.mutation.probe import probe
from tests.mutation.trial import run
from tests.properties.model import quietly


@dataclass(frozen=True, slots=True)
class Seen:
    """The places that a test or the model used, and the mutants with other results there, if mutants were run."""

    places: frozenset[str]
    shown: frozenset[str] | None

    def tells(self, mutant: Mutant) -> bool:
        """Whether the test or the model may notice the mutant."""
        looked = self.shown is not None and can_show(mutant)
        return mutant.name in (self.shown or ()) if looked else mutant.place in self.places


@dataclass(frozen=True, slots=True)
class Used:
    """What one test used, and its duration in seconds."""

    test: str
    seconds: float
    seen: Seen


@dataclass(frozen=True, slots=True)
class Played:
    """A hash of the rows that the model stores without a mutant, and what the model used."""

    stored: str
    seen: Seen


def of_the_model(beside: bool) -> Played:
    """Run the model once, with or without mutants beside it. Raises RuntimeError if the model breaks a promise."""
    recorder = _Recorder(beside=beside)
    with quietly() as folder, recorder.recording():
        played = probe(folder)
        if played.broken is not None:
            raise RuntimeError(f"without a mutant the model says: {played.broken}")
        return Played(played.stored, recorder.seen())


def of_tests(asked: tuple[Sequence[str], bool]) -> list[Used]:
    """Run these tests once, with or without mutants beside them. Raises RuntimeError if a test fails."""
    tests, beside = asked
    recorder = _Recorder(beside=beside)
    code = run([*tests], recorder)
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"without a mutant the directed tests end with {code!s}: {recorder.failed}")
    return recorder.used


class _Recorder:
    """Records what each test uses, in all its threads, and which mutants give other results in it."""

    def __init__(self, *, beside: bool) -> None:
        self.used: list[Used] = []
        self.failed: list[str] = []
        self._places: set[str] = set()
        self._beside = Beside() if beside else None

    def seen(self) -> Seen:
        """The record since the recording began."""
        shown = None if self._beside is None else frozenset(self._beside.shown)
        return Seen(frozenset(self._places), shown)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record within the block, starting with an empty record."""
        self._places = set()
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(warehouse, "statement", self._statement))
            for module in MODULES:
                stack.enter_context(heard(module, self._places.add))
            if self._beside is not None:
                self._beside.empty()
                # This comes last, because it copies the functions as they are now and replaces their code.
                stack.enter_context(self._beside.running())
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        with self.recording():
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when == "call":
            self.used.append(Used(report.nodeid, report.duration, self.seen()))

    def _statement(self, name: str) -> str:
        self._places.add(name)
        return statement(name)
