"""The fault storm of `make soak`: all kinds of faults at 5 % for 10,000 pages, then one line of figures.

It exits with 1 if a row or a figure is wrong. Must not know what a storm does.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.behaviour.harness import ServeWorld
from tests.faults.storming import Storm, weather


def main() -> int:
    """Run one storm; print the seed first, so that it can be replayed."""
    parser = argparse.ArgumentParser(description="Sync under all faults at once and compare with the truth.")
    parser.add_argument("--pages", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**32))
    given = parser.parse_args()
    sys.stdout.write(f"fault storm: seed {given.seed}\n")
    sys.stdout.flush()
    logging.getLogger("image_history").setLevel(logging.CRITICAL)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "HTTP_PROXY", "http_proxy"):
            patch.delenv(name, raising=False)
        served = ServeWorld(Path(folder), patch)
        try:
            line = weather(served, Storm(given.pages, given.seed, rate=given.rate)).line
        except AssertionError as error:
            sys.stdout.write(f"fault storm: FAILED with seed {given.seed}: {error}\n")
            return 1
        finally:
            served.close()
    sys.stdout.write(f"{line}, {time.monotonic() - started:.0f} s\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
