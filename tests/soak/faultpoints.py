"""The whole matrix of `make soak`: every effect of every kind of sync with every fault, and one line of figures.

It exits with 1 if anything is wrong after a fault. Must not know what an effect is.
"""

from __future__ import annotations

import argparse
import logging
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from image_history.simulator import Simulator
from tests.faultpoints.forking import Forge
from tests.faultpoints.matrix import ALL_ACTIONS, MODES, Figures, Matrix, make_world

_PROCESSES = 2


def share(number: int, share_of: int) -> Figures:
    """Run every `share_of`-th fault of all modes, starting with number `number`."""
    total = Figures()
    with tempfile.TemporaryDirectory() as folder, Simulator(make_world()) as simulator, Forge() as forge:
        matrix = Matrix(Path(folder), simulator, forge)
        matrix.prepare()
        for mode in MODES.values():
            total.add(matrix.play(mode, list(matrix.faults(mode, ALL_ACTIONS))[number::share_of]))
    return total


def main() -> int:
    """Run the whole matrix, or with --share N every N-th fault."""
    parser = argparse.ArgumentParser(description="Put every fault at every effect of a sync.")
    parser.add_argument("--share", type=int, default=1, help="play one fault in so many")
    given = parser.parse_args()
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    began, total = time.monotonic(), Figures()
    with ThreadPoolExecutor(_PROCESSES) as pool:
        for figures in pool.map(lambda number: share(number, _PROCESSES * given.share), range(_PROCESSES)):
            total.add(figures)
    for line in total.wrong:
        sys.stdout.write(f"  {line}\n")
    sys.stdout.write(f"fault points: {total}; {time.monotonic() - began:.0f} s\n")
    return 1 if total.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
