"""The coverage-guided fuzzer, `python -m tests.fuzz --seconds 60`: one process a target, with its own coverage.

Needs atheris (requirements/fuzz.txt). Must not know what a target parses.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path


def fuzz(name: str, seconds: int, corpus: Path) -> None:
    """Fuzz one target for some seconds; the process exits with a code other than 0 if the target breaks."""
    import atheris

    with atheris.instrument_imports(include=["image_history"]):
        from tests.fuzz.targets import SEEDS, TARGETS
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [sys.argv[0], f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=2048", str(corpus)]
    atheris.Setup(options, TARGETS[name])
    atheris.Fuzz()


def main() -> int:
    """Fuzz all targets, or one; return 1 if any breaks, and print the output of its process."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=int, default=20, help="for each target")
    parser.add_argument("--target")
    given = parser.parse_args()
    if given.target is not None:
        with tempfile.TemporaryDirectory() as corpus:
            fuzz(given.target, given.seconds, Path(corpus))
    from tests.fuzz.targets import TARGETS

    broken = []
    for name in TARGETS:
        command = [sys.executable, "-m", "tests.fuzz", "--target", name, "--seconds", str(given.seconds)]
        outcome = subprocess.run(command, capture_output=True, text=True, check=False)
        done = [line for line in outcome.stderr.splitlines() if line.startswith("Done ")]
        sys.stdout.write(f"{name}: {done[-1] if done else outcome.stderr[-2000:]}\n")
        sys.stdout.flush()
        if outcome.returncode:
            broken.append(name)
    sys.stdout.write(f"fuzz: {len(TARGETS)} targets, {given.seconds} s each, {len(broken)} broken {broken}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
