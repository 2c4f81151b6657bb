"""Which directed tests use what: a mutant is tried on the tests that run its statement or function, and on no other.

Must not know what a mutant changes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from unittest import mock

import pytest

from image_history.warehouse import warehouse
from image_history.warehouse.statements import statement
from tests.mutation.functions import heard
from tests.mutation.mutants import MODULES
from tests.mutation.probe import probe
from tests.mutation.trial import run
from tests.properties.model import quietly


@dataclass(frozen=True, slots=True)
class Used:
    """What one test used, and how long it took in seconds."""

    test: str
    seconds: float
    places: frozenset[str]


@dataclass(frozen=True, slots=True)
class Coverage:
    """What the model stores without a mutant, the places that it uses, and each test's, the quickest test first."""

    stored: str
    modelled: frozenset[str]
    tests: tuple[Used, ...]


def measured(tests: Sequence[str]) -> Coverage:
    """Play the model and run the tests once. RuntimeError if one fails without any mutant."""
    recorder = _Recorder()
    with quietly() as folder, recorder.recording():
        seen = probe(folder)
        modelled = frozenset(recorder.places)
    if seen.broken is not None:
        raise RuntimeError(f"without a mutant the model says: {seen.broken}")
    code = run([*tests], recorder)
    if code != pytest.ExitCode.OK:
        raise RuntimeError(f"without a mutant the directed tests end with {code!s}: {recorder.failed}")
    return Coverage(seen.stored, modelled, tuple(sorted(recorder.used, key=lambda used: used.seconds)))


class _Recorder:
    """Writes down the statements and functions that each test uses, in all its threads."""

    def __init__(self) -> None:
        self.used: list[Used] = []
        self.failed: list[str] = []
        self.places: set[str] = set()

    @contextmanager
    def recording(self) -> Iterator[None]:
        """From an empty list on."""
        self.places = set()
        with ExitStack() as stack:
            stack.enter_context(mock.patch.object(warehouse, "statement", self._statement))
            for module in MODULES:
                stack.enter_context(heard(module, self.places.add))
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        with self.recording():
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)
        if report.when == "call":
            self.used.append(Used(report.nodeid, report.duration, frozenset(self.places)))

    def _statement(self, name: str) -> str:
        self.places.add(name)
        return statement(name)
