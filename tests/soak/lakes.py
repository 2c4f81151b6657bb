"""Lake tables under every fault, and with many writers: `make tables-soak`, and a part of `make soak`.

It exits with 1 if anything is wrong. Must not know how a table is written.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.behaviour.lakes import KINDS
from tests.faultpoints.forking import Forge
from tests.faultpoints.labels import Labels
from tests.faultpoints.lakes import STAGES, LakeMatrix
from tests.faultpoints.matrix import Figures

_PROCESSES = 2


def faults(kind: str, stage: str) -> Figures:
    """Run a kill and each refusal at every effect of a publication; then check that no orphan files remain."""
    with tempfile.TemporaryDirectory() as folder, Forge() as forge:
        matrix = LakeMatrix(Path(folder), kind, stage, forge)
        matrix.prepare()
        figures = matrix.play([*matrix.kills(), *matrix.refusals()])
        if stage == "changed":
            left = matrix.orphans_after(matrix.kills())
            figures.wrong += [f"{kind}: {name} was left, and no commit names it" for name in sorted(left)]
        return figures


def writers(kind: str, commits: int, kills: int, seed: int) -> list[str]:
    """Let three labels publish `commits` times each, with some publications killed, in parallel with a reader."""
    with tempfile.TemporaryDirectory() as folder:
        seen = Labels(Path(folder), kind, random.Random(seed)).run(commits, kills=kills)
    sys.stdout.write(f"tables: {kind}: {seen}\n")
    sys.stdout.flush()
    return seen.wrong


def main() -> int:
    """Run writers and faults for each format; print the seed first, so that they can be replayed."""
    parser = argparse.ArgumentParser(
        description="Publish lake tables under every fault and with many writers."
    )
    parser.add_argument("--commits", type=int, default=20)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**32))
    given = parser.parse_args()
    sys.stdout.write(f"tables: seed {given.seed}\n")
    sys.stdout.flush()
    began, total = time.monotonic(), Figures()
    for kind in KINDS:
        total.wrong += writers(kind, given.commits, given.kills, given.seed)
    with ThreadPoolExecutor(_PROCESSES) as pool:
        for figures in pool.map(
            lambda each: faults(*each), [(kind, name) for kind in KINDS for name in STAGES]
        ):
            total.add(figures)
    for line in total.wrong:
        sys.stdout.write(f"  {line}\n")
    sys.stdout.write(f"tables: {total}; {time.monotonic() - began:.0f} s\n")
    return 1 if total.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
