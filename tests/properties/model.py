"""Explores scenarios on all processors and says how many schedules there were: `python -m tests.properties.model`.

Must not know what a scenario holds or how a schedule is played.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from os import cpu_count
from typing import TypeVar
from unittest import mock

from image_history.model import Stop
from image_history.run import settle
from tests.properties.scenarios import quick, whole
from tests.properties.schedules import Scenario, Tally, explore

Result = TypeVar("Result")

_SHOWN = 20


def tallies(scenarios: Sequence[Scenario], processes: int | None = None) -> Iterator[tuple[Scenario, Tally]]:
    """Every scenario with what its exploration found, in order, on so many processes (None: all processors)."""
    count = processes if processes is not None else cpu_count() or 1
    if count == 1:
        yield from ((scenario, _quietly(scenario)) for scenario in scenarios)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from zip(scenarios, pool.map(_quietly, scenarios), strict=True)


def _quietly(scenario: Scenario) -> Tally:
    """Readings that start over are logged as warnings; here they are the rule.

    There is one scope and one call at a time, so no threads: they would take half of the time.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with mock.patch.object(settle, "together", one_after_the_other):
            return explore(scenario)
    finally:
        logging.disable(before)


def one_after_the_other(jobs: Sequence[Callable[[], Result]], threads: int, stop: Stop) -> list[Result]:
    """The results of the jobs, in order."""
    del threads, stop
    return [job() for job in jobs]


def figures(total: Tally, seconds: float) -> str:
    """One line about an exploration."""
    return (
        f"model: {total.schedules:,} schedules, {len(total.broken):,} broken promises, "
        f"{total.late:,} with a change seen late, {seconds:.0f} s"
    )


def say(line: str) -> None:
    """Print at once, for those who wait."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore and print; 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties.model", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the subset that `make test` explores")
    parser.add_argument("--processes", type=int, help="all processors by default")
    options = parser.parse_args(arguments)
    total, began = Tally(), time.monotonic()
    for scenario, tally in tallies(quick() if options.quick else whole(), options.processes):
        total.add(tally)
        say(f"{scenario.name:50} {tally.schedules:8,} schedules, {len(tally.broken)} broken")
    for line in total.broken[:_SHOWN]:
        say(line)
    say(figures(total, time.monotonic() - began))
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
