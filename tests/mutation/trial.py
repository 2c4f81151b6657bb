"""Tries one mutant in a process of its own, with the directed tests that use its place and with the model.

A mutated statement may crash the engine, so a trial keeps no state. Must not know other mutants.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.mutation.mutants import named
from tests.mutation.probe import Seen, glance, probe
from tests.properties.model import quietly


@dataclass(frozen=True, slots=True)
class Fate:
    """The result of a trial: what killed the mutant, or whether the mutant changed the stored rows."""

    name: str
    killed_by: str | None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Trial:
    """A mutant, its tests in their order, and a hash of the rows that the model stores without the mutant.

    The `quick` tests run before the model. `modelled` says whether the model may notice the mutant. `most_s` limits
    the whole trial, because a mutant may loop for ever.
    """

    name: str
    quick: Sequence[str]
    tests: Sequence[str]
    modelled: bool
    stored: str
    most_s: float

    def outcome(self) -> Fate:
        """Try the mutant with the quick tests, a part of the model, the other tests, and the whole model.

        Raises RuntimeError if pytest fails to run.
        """
        with named(self.name).applied():
            killed_by = failure(self.quick)
            killed_by = killed_by or (self._seen(glance).broken if self.modelled else None)
            killed_by = killed_by or failure(self.tests)
            seen = self._seen(probe) if self.modelled and killed_by is None else Seen(stored=self.stored)
        broken = killed_by or seen.broken
        return Fate(self.name, broken, changed=broken is None and seen.stored != self.stored)

    def _seen(self, look: Callable[[Path], Seen]) -> Seen:
        with quietly() as folder:
            return look(folder)


def failure(tests: Sequence[str]) -> str | None:
    """The first of these tests that fails, in their order. Raises RuntimeError if pytest itself fails."""
    if not tests:
        return None
    seen = _First()
    code = run([*tests, "-x"], seen)
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
        raise RuntimeError(f"pytest could not try a mutant: it ended with {code!s}")
    return seen.test


def run(arguments: Sequence[str], plugin: object) -> int:
    """Run pytest in this process, without output and with a temporary folder of its own."""
    with TemporaryDirectory(prefix="mutant-") as folder, _Silence():
        return pytest.main([*arguments, "-q", f"--basetemp={Path(folder) / 'tests'}"], plugins=[plugin])


class _First:
    """A pytest plugin that keeps the first failed test."""

    def __init__(self) -> None:
        self.test: str | None = None

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed and self.test is None:
            self.test = report.nodeid


class _Silence:
    """Discards standard output and error within the block, also the engine's own output."""

    def __enter__(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        self.kept = (os.dup(1), os.dup(2))
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        os.close(nowhere)

    def __exit__(self, *_: object) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, kept in enumerate(self.kept, 1):
            os.dup2(kept, number)
            os.close(kept)
