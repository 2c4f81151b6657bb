"""The mutation pass, `python -m tests.mutation`: no mutant that changes an answer survives.

A mutant is killed by a promise of the model, or by a directed test; the others must be explained one by one in
explained.txt. Exits with 1 if one is not, or if an explained one is gone.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

from image_history.warehouse import warehouse
from image_history.warehouse.statements import names, statement
from tests.mutation import functions, statements
from tests.mutation.probe import Seen, probe
from tests.properties.model import quietly, say

MODULES = (
    *(f"image_history.listing.{name}" for name in ("pages", "verdict", "request", "breaker")),
    "image_history.run.settle",
)
VARIABLE = "IMAGE_HISTORY_TEST_MUTANT"
EXPLAINED = Path(__file__).parent / "explained.txt"
# What is asked once the model has seen nothing: the quickest first.
DIRECTED = (
    "tests/unit/test_verdict.py",
    "tests/unit/test_acceptance.py",
    "tests/unit/test_plan.py",
    "tests/behaviour/test_deletions.py",
    "tests/behaviour/test_true_history.py",
    "tests/behaviour/test_sync.py",
    "tests/behaviour/test_details.py",
    "tests/behaviour/test_details_troubles.py",
    "tests/behaviour/test_promises.py",
    "tests/behaviour/test_extract_streams.py",
)


@dataclass(frozen=True, slots=True)
class Mutant:
    """One mutant by its name, which says where it is and what is different."""

    name: str
    of: statements.Edit | functions.Change
    statement: str = ""

    def applied(self) -> AbstractContextManager[None]:
        """Let it take the place of the real thing meanwhile."""
        if isinstance(self.of, functions.Change):
            return self.of.applied()
        return _instead(self.statement, self.of.of(statement(self.statement)))


@contextmanager
def _instead(name: str, text: str) -> Iterator[None]:
    with mock.patch.object(warehouse, "statement", lambda asked: text if asked == name else statement(asked)):
        yield


def all_mutants() -> list[Mutant]:
    """Every mutant of the statements that load and settle, and of the rules."""
    found: list[tuple[str, statements.Edit | functions.Change, str]] = [
        (f"{name}: {edit.what}", edit, name)
        for name in (*names("load"), *names("settle"))
        for edit in statements.mutants(statement(name))
    ]
    found += [
        (f"{change.module.removeprefix('image_history.')}.{change.function}: {change.what}", change, "")
        for module in MODULES
        for change in functions.mutants(module)
    ]
    counted: dict[str, int] = {}
    mutants = []
    for name, of, where in found:
        single = " ".join(name.split())
        counted[single] = counted.get(single, 0) + 1
        numbered = single if counted[single] == 1 else f"{single} ({counted[single]})"
        mutants.append(Mutant(numbered, of, where))
    return mutants


def named(name: str) -> Mutant:
    """The mutant of that name."""
    return next(mutant for mutant in all_mutants() if mutant.name == name)


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of a mutant: what killed it, or whether it changed what is stored."""

    name: str
    killed_by: str | None
    changed: bool = False


def tried(name: str, stored: str) -> Fate:
    """Try one mutant on the model, and on the directed tests if that sees nothing."""
    mutant = named(name)
    with quietly() as folder, mutant.applied():
        seen = probe(folder)
    if seen.broken is not None:
        return Fate(name, seen.broken)
    failed = _directed(name)
    return Fate(name, failed, changed=failed is None and seen.stored != stored)


def _directed(name: str) -> str | None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-x",
            "-q",
            "-p",
            "tests.mutation.plugin",
            *DIRECTED,
        ],
        env={**os.environ, VARIABLE: name},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return None
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR "))]
    if done.returncode > 0 and not failed:
        raise RuntimeError(f"pytest could not try {name}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return failed[0] if failed else "the directed tests, which crashed"


def apart(name: str, stored: str) -> Fate:
    """Try one mutant in a process of its own: a statement that is turned may take the engine with it."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", "--one", name, "--stored", stored],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode < 0:
        return Fate(name, "a crash")
    if done.returncode > 0:
        raise RuntimeError(f"{name} could not be tried: {done.stderr[-1000:]}")
    told = json.loads(done.stdout.splitlines()[-1])
    return Fate(name, told["killed_by"], changed=told["changed"])


def explained() -> dict[str, str]:
    """The mutants that do no harm, each with the reason; a line each, `NAME => REASON`."""
    lines = EXPLAINED.read_text(encoding="utf-8").splitlines()
    told = [line.partition(" => ") for line in lines if line and not line.startswith("#")]
    return {name: reason for name, _, reason in told}


def main(arguments: Sequence[str] | None = None) -> int:
    """Try all and print; 1 if a mutant survives that nobody has explained."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name has this text")
    parser.add_argument("--every", type=int, default=1, help="one in so many, beginning with a random one")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--stored", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one is not None:
        fate = tried(options.one, options.stored)
        say(json.dumps({"killed_by": fate.killed_by, "changed": fate.changed}))
        return 0
    begin = random.Random(options.seed).randrange(options.every)
    chosen = [mutant.name for mutant in all_mutants() if options.only in mutant.name][begin :: options.every]
    say(f"seed {options.seed}")
    began = time.monotonic()
    with quietly() as folder:
        sound: Seen = probe(folder)
    if sound.broken is not None:
        say(f"without a mutant: {sound.broken}")
        return 1
    known, wrong, killed = explained(), 0, 0
    asked = [name for name in chosen if name not in known]
    with ThreadPoolExecutor(options.processes) as pool:
        for fate in pool.map(apart, asked, [sound.stored] * len(asked)):
            killed += fate.killed_by is not None
            if fate.killed_by is None:
                wrong += 1
                say(f"SURVIVES{' AND CHANGES WHAT IS STORED' if fate.changed else ''}: {fate.name}")
    stale = [name for name in known if options.only == "" and options.every == 1 and name not in chosen]
    for name in stale:
        say(f"explained, and there is no such mutant: {name}")
    say(
        f"mutation: {len(chosen):,} mutants, {killed:,} killed, {len(chosen) - len(asked):,} explained, "
        f"{wrong} survive, {time.monotonic() - began:.0f} s"
    )
    return 1 if wrong or stale else 0


if __name__ == "__main__":
    sys.exit(main())
