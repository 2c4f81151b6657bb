"""The kill loop of `make soak`: syncs killed at random moments, and one line of figures.

It exits with 1 if a row is lost, doubled or falsely deleted. Must not know what a trial is.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from image_history.simulator import Simulator
from tests.faultpoints.forking import Forge
from tests.faultpoints.killing import KillFigures, KillLoop, small_account

_TRIALS_AN_EPOCH = 25
_LOOPS = 2


def loop(seed: int, trials: int) -> KillFigures:
    """Run one loop, with its own account, simulator and process that forks the syncs."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Simulator(small_account(seed)) as simulator,
        Forge() as forge,
    ):
        killing = KillLoop(Path(folder) / "site", simulator, forge, random.Random(seed))
        return killing.run(trials, trials_an_epoch=_TRIALS_AN_EPOCH)


def main() -> int:
    """Run the loops in parallel; print the seed first, so that they can be replayed."""
    parser = argparse.ArgumentParser(description="Kill syncs at random moments and compare with the truth.")
    parser.add_argument("--trials", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**32))
    given = parser.parse_args()
    sys.stdout.write(f"kill loop: seed {given.seed}\n")
    sys.stdout.flush()
    # The server would log each client that dies in the middle of a request, which is expected here.
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    began, total = time.monotonic(), KillFigures()
    seeds = [given.seed + number for number in range(_LOOPS)]
    with ThreadPoolExecutor(_LOOPS) as pool:
        for figures in pool.map(lambda seed: loop(seed, -(-given.trials // _LOOPS)), seeds):
            total.add(figures)
    for failure in total.failures:
        sys.stdout.write(f"  {failure}\n")
    sys.stdout.write(f"{total}; {time.monotonic() - began:.0f} s\n")
    return 0 if total.clean else 1


if __name__ == "__main__":
    sys.exit(main())
