"""Which directed tests use what: a mutant is tried on the tests in which it shows, and on no other.

Of a mutant that cannot be run beside the real thing it is known only which tests run its statement or function. Must
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
    """The places that something used, and the mutants that gave another result there, if that was looked for."""

    places: frozenset[str]
    shown: frozenset[str] | None

    def tells(self, mutant: Mutant) -> bool:
        """Whether the mutant may be missed there."""
        looked = self.shown is not None and can_show(mutant)
        return mutant.name in (self.shown or ()) if looked else mutant.place in self.places


@dataclass(frozen=True, slots=True)
class Used:
    """What was seen of one test, and how long it took in seconds."""

    test: str
    seconds: float
    seen: Seen


@dataclass(frozen=True, slots=True)
class Played:
    """What the model stores without a mutant, and what was seen of it."""

    stored: str
    seen: Seen


def of_the_model(beside: bool) -> Played:
    """Play the model once, with mutants beside or not. RuntimeError if it breaks a promise without any mutant."""
    recorder = _Recorder(beside=beside)
    with quietly() as folder, recorder.recording():
        played = probe(folder)
        if played.broken is not None:
            raise RuntimeError(f"without a mutant the model says: {played.broken}")
        return Played(played.stored, recorder.seen())


def of_tests(asked: tuple[Sequence[str], bool]) -> list[Used]:
    """Run these tests once, with mutants beside or not. RuntimeError if one fails without any mutant."""
    tests, beside = asked
    recorder = _Recorder(beside=beside)
    code = run([*tests], recorder)
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"without a mutant the directed tests end with {code!s}: {recorder.failed}")
    return recorder.used


class _Recorder:
    """Writes down what each test uses, in all its threads, and which mutants show in it."""

    def __init__(self, *, beside: bool) -> None:
        self.used: list[Used] = []
        self.failed: list[str] = []
        self._places: set[str] = set()
        self._beside = Beside() if beside else None

    def seen(self) -> Seen:
        """What was seen since the recording began."""
        shown = None if self._beside is None else frozenset(self._beside.shown)
        return Seen(frozenset(self._places), shown)

    @contextmanager
    def recording(self) -> Iterator[None]:
        """From an empty list on."""
        self._places = set()
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(warehouse, "statement", self._statement))
            for module in MODULES:
                stack.enter_context(heard(module, self._places.add))
            if self._beside is not None:
                self._beside.empty()
                # Last, since it calls the functions whose place it takes.
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
