"""Runs whole processes and measures their cost; starts the server that they call.

Must not hold much memory: a child's peak starts at its parent's size. Must not know what the processes do.
"""

from __future__ import annotations

import compileall
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import msgspec

from tests.benchmarks.world import ACCOUNT, REGION, Shape

ROOT = Path(__file__).parents[2]
Command = Sequence[str]


@dataclass(frozen=True, slots=True)
class Cost:
    """Wall seconds and CPU seconds (user and system) of a process tree, and the peak memory of its largest process.

    `problem` says why the cost is not valid; `told` is the text on stdout.
    """

    wall_seconds: float
    cpu_seconds: float
    peak_mb: float
    calls: int = 0
    problem: str | None = None
    told: str = ""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.wall_seconds + other.wall_seconds,
            self.cpu_seconds + other.cpu_seconds,
            max(self.peak_mb, other.peak_mb),
            self.calls + other.calls,
            self.problem or other.problem,
            self.told + other.told,
        )


def spend(command: Command, folder: Path, environment: Mapping[str, str]) -> Cost:
    """Run one command to its end in a folder; its stdout and stderr go to files there."""
    out, err = folder / "stdout.txt", folder / "stderr.txt"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=stdout, stderr=stderr)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    problem = None
    if process.returncode:
        last = err.read_text(errors="replace").strip().splitlines()[-1:]
        problem = f"exit code {process.returncode}: {' '.join(last)}"[:200]
    cpu = usage.ru_utime + usage.ru_stime
    return Cost(wall, cpu, usage.ru_maxrss / 1024, problem=problem, told=out.read_text(errors="replace"))


@dataclass(frozen=True, slots=True)
class Server:
    """The measuring process's handle of the server process."""

    port: int

    def serve(self, shape: Shape, *, latency_ms: float = 0, rate: float = 0) -> None:
        """Serve this shape from now on, and count calls from zero."""
        asked: dict[str, float] = {
            "images": shape.images,
            "versions": shape.versions,
            "changed": shape.changed,
            "latency_ms": latency_ms,
            "rate": rate,
        }
        if shape.changed_images is not None:
            asked["changed_images"] = shape.changed_images
        self._ask(f"/set?{urlencode(asked)}")

    def calls(self) -> dict[str, int]:
        """The number of calls by operation since the last count; throttled calls are counted separately."""
        return msgspec.json.decode(self._ask("/calls"), type=dict[str, int])

    def _ask(self, path: str) -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=60) as answer:
            told: bytes = answer.read()
            return told

    def environment(self) -> dict[str, str]:
        """Environment variables that point any AWS client at the server."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("AWS_", "IMAGE_HISTORY", "PYTHONDONTWRITEBYTECODE"))
        }
        return {
            **kept,
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": f"AKID{ACCOUNT}",
            "AWS_SECRET_ACCESS_KEY": "none",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "PYTHONPATH": str(ROOT),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }


def compile_package() -> None:
    """Compile the package to bytecode, as pip does when it installs a package, so also for the peers' packages."""
    compileall.compile_dir(ROOT / "connector", quiet=1)


@contextmanager
def serving() -> Iterator[Server]:
    """Start the server in a process of its own, and end it when the block ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.benchmarks.server"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()))
    finally:
        process.kill()
        process.communicate()
