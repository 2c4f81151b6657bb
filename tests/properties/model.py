"""Explores scenarios on all processors and prints the number of schedules: `python -m tests.properties.model`.

Must not know what a scenario holds or how a schedule is played.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import TypeVar
from unittest import mock

from image_history.model import Stop
from image_history.run import settle
from tests.properties.scenarios import whole
from tests.properties.schedules import Scenario, Tally, explore, shapes

Result = TypeVar("Result")

_SHOWN = 20


def tallies(
    groups: Sequence[Sequence[Scenario]], processes: int | None = None
) -> Iterator[tuple[Sequence[Scenario], Tally]]:
    """Yield each group of scenarios with its tally, explored in `processes` processes (None: one a processor)."""
    count = processes if processes is not None else cpu_count() or 1
    if count == 1:
        yield from ((group, explored(group)) for group in groups)
        return
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        yield from zip(groups, pool.map(explored, groups), strict=True)


def explored(scenarios: Sequence[Scenario]) -> Tally:
    """Explore scenarios of one shape; returns the tally."""
    with quietly() as folder:
        return explore(scenarios, folder)


@contextmanager
def quietly() -> Iterator[Path]:
    """A temporary folder, with logging off: readings that start over log warnings, and here they are normal.

    Jobs run one after the other: there is one call at a time, and threads would take half of the time.
    """
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            mock.patch.object(settle, "together", one_after_the_other),
            tempfile.TemporaryDirectory(prefix="model-") as folder,
        ):
            yield Path(folder)
    finally:
        logging.disable(before)


def one_after_the_other(jobs: Sequence[Callable[[], Result]], threads: int, stop: Stop) -> list[Result]:
    """The results of the jobs, in order."""
    del threads, stop
    return [job() for job in jobs]


def named(group: Sequence[Scenario]) -> str:
    """The name of a group of scenarios, padded to a column."""
    return f"{group[0].name} and {len(group) - 1} more"[:50].ljust(50)


def figures(total: Tally, seconds: float) -> str:
    """The results of an exploration, in one line."""
    return f"model: {total.schedules:,} schedules, {len(total.broken):,} broken promises, {seconds:.0f} s"


def say(line: str) -> None:
    """Print a line at once, so that progress is visible."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Explore and print; returns 1 if a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.properties.model", description=__doc__)
    parser.add_argument("--only", default="", help="scenarios whose name has this text")
    parser.add_argument("--depth", type=int, help="no more changes than so many")
    parser.add_argument("--processes", type=int, help="all processors by default")
    options = parser.parse_args(arguments)
    total, began = Tally(), time.monotonic()
    chosen = [
        scenario if options.depth is None else replace(scenario, depth=min(options.depth, scenario.depth))
        for group in whole()
        for scenario in group
        if options.only in scenario.name
    ]
    for group, tally in tallies(shapes(chosen), options.processes):
        total.add(tally)
        say(f"{named(group)} {tally.schedules:8,} schedules, {len(tally.broken)} broken")
    for line in total.broken[:_SHOWN]:
        say(line)
    say(figures(total, time.monotonic() - began))
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
