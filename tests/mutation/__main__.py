"""The mutation pass, `python -m tests.mutation`: no mutant that changes a result survives.

A promise of the model or a directed test kills a mutant; explained.txt must explain each mutant that survives. The
pass exits with 1 if a surviving mutant is not explained, or if an explained mutant does not exist.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from tests.mutation.apart import apart
from tests.mutation.coverage import Played, Used, of_tests, of_the_model
from tests.mutation.mutants import Mutant, all_mutants
from tests.mutation.trial import Fate, Trial
from tests.properties.model import say

# The time limit of the tests that run first, and of the model on a busy machine.
_QUICK_S = 5.0
_MODEL_S = 90.0
# From this number of mutants on, it is faster to run them all once beside the tests.
_MANY = 100
EXPLAINED = Path(__file__).parent / "explained.txt"
# These tests are so fast that running mutants beside them would cost more.
OF_A_STATEMENT = tuple(
    f"tests/behaviour/{path.name}"
    for path in sorted((Path(__file__).parents[1] / "behaviour").glob("test_*.py"))
    if path.name.startswith(("test_load_", "test_settle_"))
)
DIRECTED = tuple(
    f"tests/{name}.py"
    for name in (
        "unit/test_verdict",
        "unit/test_settler",
        "unit/test_resting",
        "unit/test_acceptance",
        "unit/test_plan",
        "unit/test_hints",
        "behaviour/test_deletions",
        "behaviour/test_true_history",
        "behaviour/test_late_loads",
        "behaviour/test_sync",
        "behaviour/test_details",
        "behaviour/test_details_troubles",
        "behaviour/test_promises",
        "behaviour/test_extract_streams",
        "behaviour/test_visible",
        "behaviour/test_image_times",
        "behaviour/test_hints",
        "behaviour/test_details_budget",
        "behaviour/test_coverage",
    )
)


class Order:
    """Chooses and orders the tests of a mutant: first the tests that killed other mutants of the same place."""

    def __init__(self, played: Played, used: Sequence[Used], most_s: float) -> None:
        self._played = played
        self._used = sorted(used, key=lambda used: used.seconds)
        self._most_s = most_s
        self._killed: dict[str, Counter[str]] = defaultdict(Counter)

    def trial(self, mutant: Mutant) -> Trial:
        """The trial of a mutant, with the tests that killed other mutants of its place first, then the fastest."""
        killed = self._killed[mutant.place]
        using = [used for used in self._used if used.seen.tells(mutant)]
        quick: list[str] = []
        tests: list[str] = []
        spent = 0.0
        for used in sorted(using, key=lambda used: -killed[used.test]):
            spent += used.seconds
            if spent > self._most_s:
                break
            (quick if spent <= _QUICK_S else tests).append(used.test)
        modelled = self._played.seen.tells(mutant)
        return Trial(mutant.name, quick, tests, modelled, self._played.stored, _MODEL_S + spent)

    def learn(self, mutant: Mutant, fate: Fate) -> None:
        """Record which test killed the mutant."""
        if fate.killed_by is not None:
            self._killed[mutant.place][fate.killed_by] += 1


def explained() -> dict[str, str]:
    """The harmless mutants with their reasons; the file has one line for each, `NAME => REASON`."""
    told = [line.partition(" => ") for line in _lines(EXPLAINED)]
    return {name: reason for name, _, reason in told}


class Killed:
    """The mutants that earlier passes killed, in a file, so that a pass tries only the others and changed ones."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = set(_lines(path)) if path.exists() else set()

    def holds(self, mutant: Mutant) -> bool:
        """Whether an earlier pass killed the mutant and its source is unchanged since then."""
        return _line(mutant) in self._known

    def add(self, mutant: Mutant) -> None:
        """Append the mutant to the file at once."""
        with self._path.open("a", encoding="utf-8") as file:
            file.write(_line(mutant) + "\n")


def _line(mutant: Mutant) -> str:
    return f"{mutant.made_of} {mutant.name}"


def _lines(path: Path) -> list[str]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _order(processes: int, most_s: float, *, beside: bool) -> Order | None:
    """Run the model and the directed tests once to find what each uses; None if one crashes without a mutant."""
    with ThreadPoolExecutor(processes) as pool:
        playing = pool.submit(apart, of_the_model, beside)
        files = [([test], False) for test in OF_A_STATEMENT] + [([test], beside) for test in DIRECTED]
        used = list(pool.map(partial(apart, of_tests), files))
        played = playing.result()
    if played is None or None in used:
        return None
    return Order(played, [each for some in used for each in some or ()], most_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the chosen mutants and print the result; return 1 if an unexplained one survives or an entry is stale."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--only", default="", help="mutants whose name has this text")
    parser.add_argument("--every", type=int, default=1, help="one in so many, beginning with a random one")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--most-s", type=float, default=float("inf"), help="seconds of tests for a mutant at most"
    )
    parser.add_argument(
        "--killed", type=Path, help="a file of those that were killed, to go on with and to add to"
    )
    options = parser.parse_args(arguments)
    begin = random.Random(options.seed).randrange(options.every)
    chosen = [mutant for mutant in all_mutants() if options.only in mutant.name][begin :: options.every]
    say(f"seed {options.seed}")
    began = time.monotonic()
    known = explained()
    killed = None if options.killed is None else Killed(options.killed)
    asked = [mutant for mutant in chosen if mutant.name not in known]
    left = [mutant for mutant in asked if killed is None or not killed.holds(mutant)]
    order = _order(options.processes, options.most_s, beside=len(left) >= _MANY) if left else None
    if left and order is None:
        say("without a mutant the model or a directed test crashes")
        return 1

    def fate_of(mutant: Mutant) -> Fate:
        assert order is not None
        trial = order.trial(mutant)
        fate = apart(Trial.outcome, trial, most_s=trial.most_s) or Fate(mutant.name, "a crash, or no end")
        order.learn(mutant, fate)
        if fate.killed_by is None:
            say(f"SURVIVES{' AND CHANGES WHAT IS STORED' if fate.changed else ''}: {fate.name}")
        elif killed is not None:
            killed.add(mutant)
        return fate

    with ThreadPoolExecutor(options.processes) as pool:
        fates = list(pool.map(fate_of, left))
    survive = sum(fate.killed_by is None for fate in fates)
    names = {mutant.name for mutant in chosen}
    stale = [name for name in known if options.only == "" and options.every == 1 and name not in names]
    for name in stale:
        say(f"explained, and there is no such mutant: {name}")
    say(
        f"mutation: {len(chosen):,} mutants, {len(left) - survive:,} killed, "
        f"{len(asked) - len(left):,} killed before, {len(chosen) - len(asked):,} explained, {survive} survive, "
        f"{time.monotonic() - began:.0f} s"
    )
    return 1 if survive or stale else 0


if __name__ == "__main__":
    sys.exit(main())
