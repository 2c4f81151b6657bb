"""The long tests, `python -m tests.soak`: the whole model, then the state machine, then one line of figures.

Must not know what the model and the machine check.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
from collections import Counter
from collections.abc import Sequence

import hypothesis
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.properties.machine import STEPS, SYNCS
from tests.properties.model import figures, named, say, tallies
from tests.properties.operating import Operating
from tests.properties.scenarios import whole
from tests.properties.schedules import Tally

_STEPS_A_WORLD = 25


def explored() -> Tally:
    """Run every scenario of the model, on all processors."""
    total, began = Tally(), time.monotonic()
    for group, tally in tallies(whole()):
        total.add(tally)
        say(f"  {named(group)} {tally.schedules:8,} schedules, {len(tally.broken)} broken promises")
    for line in total.broken:
        say(line)
    say(figures(total, time.monotonic() - began))
    return total


def driven(seed: int, steps: int) -> None:
    """Run worlds of the state machine until it has made `steps` steps. Raises the error of the first difference."""
    seeds = random.Random(seed)
    while (left := steps - STEPS.total()) > 0:
        wanted = settings(
            max_examples=-(-left // _STEPS_A_WORLD),
            stateful_step_count=_STEPS_A_WORLD,
            deadline=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        )
        seeded = hypothesis.seed(seeds.randrange(2**32))(type("Seeded", (Operating,), {}))
        run_state_machine_as_test(seeded, settings=wanted)


def _counted(counts: Counter[str]) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in sorted(counts.items()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the model and the machine, and print figures; return 1 if the model broke a promise."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--steps", type=int, default=2_000, help="steps of the state machine, at the least")
    parser.add_argument("--only", choices=["model", "machine"])
    options = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    say(f"seed {options.seed}")
    began, total, differences = time.monotonic(), Tally(), 1
    try:
        if options.only != "machine":
            total = explored()
        if options.only != "model":
            driven(options.seed, options.steps)
        differences = 0
    finally:
        if differences:
            say(
                f"Replay it with: python -m tests.soak --seed {options.seed} --steps {options.steps} --only machine"
            )
        say(f"  steps: {_counted(STEPS)}")
        say(f"  syncs: {_counted(SYNCS)}")
        say(
            f"soak: {total.schedules:,} schedules, {len(total.broken):,} broken promises; "
            f"{STEPS.total():,} steps, {SYNCS['all']:,} syncs, {differences} differences; "
            f"seed {options.seed}; {time.monotonic() - began:.0f} s"
        )
    return 1 if total.broken else 0


if __name__ == "__main__":
    sys.exit(main())
