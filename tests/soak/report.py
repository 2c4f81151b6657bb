"""The report of a long history: a million versions in under 10 s, 500 MB and 2 MB of HTML.

    python -m tests.soak.report [--images N] [--versions N]

Must not know the report's content.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from image_history.simulator import Simulator, generate

MOST_SECONDS, MOST_MEGABYTES, MOST_BYTES = 10, 500, 2_000_000
# ru_maxrss is in kilobytes on Linux, in bytes on macOS.
_MEGABYTE = 1_000 if sys.platform == "linux" else 1_000_000
# A small process starts the command: a child's peak starts at its parent's size, and this process holds the world.
_MEASURED = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(done.returncode)
"""


def command(folder: Path, verb: str, environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a verb in a process of its own; return its seconds, and its peak memory in megabytes."""
    started = time.monotonic()
    arguments = [sys.executable, "-c", _MEASURED, sys.executable, "-m", "image_history", verb]
    done = subprocess.run(
        arguments, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"report: {verb} left with {done.returncode}")
    return time.monotonic() - started, int(done.stdout) / _MEGABYTE


def main() -> None:
    """Sync the versions, write their report, and fail if the report exceeds a limit."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak.report", description=__doc__)
    parser.add_argument("--images", type=int, default=1_000, help="images in each of two regions")
    parser.add_argument("--versions", type=int, default=500, help="versions of each image")
    asked = parser.parse_args()
    world = generate(5, regions=2, images=asked.images, versions_per_image=asked.versions)
    regions = ", ".join(sorted({scope.region for scope in world.scopes}))
    with tempfile.TemporaryDirectory(prefix="report-") as temporary, Simulator(world) as simulator:
        folder = Path(temporary)
        (folder / "config.yaml").write_text(f"accounts: [{{regions: [{regions}]}}]\n", encoding="utf-8")
        environment = {**os.environ, **simulator.environment(), "IMAGE_HISTORY_RATE__LIST_PER_SECOND": "2000"}
        command(folder, "sync", environment)
        seconds, megabytes = command(folder, "report", environment)
        size = (folder / "report.html").stat().st_size
    versions = 2 * asked.images * asked.versions
    line = f"report of {versions:,} versions: {seconds:.1f} s, {megabytes:.0f} MB, {size:,} bytes of HTML"
    sys.stdout.write(f"{line}\n")
    if seconds > MOST_SECONDS or megabytes > MOST_MEGABYTES or size > MOST_BYTES:
        raise SystemExit(f"report: more than {MOST_SECONDS} s, {MOST_MEGABYTES} MB or {MOST_BYTES:,} bytes")


if __name__ == "__main__":
    main()
