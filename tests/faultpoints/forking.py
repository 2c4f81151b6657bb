"""A process that has everything imported and a single thread, and forks a child for each command.

A fork takes milliseconds where a new interpreter takes a second. Must not know what is tested.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.behaviour.spawning import read_models
from tests.faultpoints.faults import Fault, Point, traced

ROOT = Path(__file__).parents[2]
_START_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Command:
    """A command line that runs in a folder; after `kill_after_seconds`, a command that still runs gets SIGKILL."""

    folder: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    fault: str | None = None
    fingerprints: tuple[str, ...] = ("before", "after")
    kill_after_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a command: `code` is negative for a signal; `before` and `after` are fingerprints (table.py)."""

    code: int
    out: str
    err: str
    reached: list[Point]
    before: str
    after: str
    seconds: float = 0.0

    @property
    def sentence(self) -> str:
        """The last line of stderr."""
        return (self.err.strip().splitlines() or [""])[-1]


@dataclass(slots=True)
class Forge:
    """The client's side: a context manager that starts and ends the forking process."""

    process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> Self:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.faultpoints.forking"],
            cwd=ROOT,
            env=variables | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=60)

    def run(self, command: Command) -> Ended:
        """Run a command and return its result."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asdict(command)) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        reached = traced(Path(command.folder) / "trace")
        return Ended(**answer, reached=reached)


def _warm() -> None:
    """Import what a sync imports, so that no child has to. Nothing called here starts a thread."""
    import pyarrow.dataset  # noqa: F401 - as below
    import pyiceberg.catalog.sql  # noqa: F401 - for its effect, as all here

    import image_history.publish.iceberg  # noqa: F401 - as above

    read_models()
    gc.collect()
    gc.freeze()


def _child(command: Mapping[str, Any]) -> None:
    from image_history.cli import run
    from image_history.durable.effects import install
    from tests.faultpoints.faults import Tripwire, tracing
    from tests.faultpoints.table import fingerprint

    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.chdir(command["folder"])
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), number)
    os.environ.update(command["environment"])
    sys.argv = ["image-history", *command["arguments"]]
    warehouse = Path("image-history.duckdb")
    if "before" in command["fingerprints"]:
        Path("before").write_text(fingerprint(warehouse), encoding="ascii")
    fault = None if command["fault"] is None else Fault.parse(command["fault"])
    remove = install(Tripwire(fault, tracing(Path("trace"))))
    Path("started").touch()
    code = run(command["arguments"])
    remove()
    sys.stdout.flush()
    sys.stderr.flush()
    if "after" in command["fingerprints"]:
        Path("after").write_text(fingerprint(warehouse), encoding="ascii")
    os._exit(code)


def _serve(line: str) -> str:
    command = json.loads(line)
    folder = Path(command["folder"])
    for name in ("out", "err", "trace", "before", "after", "started"):
        (folder / name).unlink(missing_ok=True)
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            _child(command)
        finally:
            os._exit(99)
    status = _await(child, folder, command)
    texts = {name: _text(folder / name) for name in ("out", "err", "before", "after")}
    code = os.waitstatus_to_exitcode(status)
    return json.dumps({"code": code, **texts, "seconds": time.monotonic() - started})


def _await(child: int, folder: Path, command: Mapping[str, Any]) -> int:
    delay = command["kill_after_seconds"]
    if delay is not None:
        until = time.monotonic() + _START_SECONDS
        while not (folder / "started").exists() and time.monotonic() < until:
            # The child reports its start only by a file; a shorter wait would take processor time from the child.
            time.sleep(0.001)
        # The test chooses the moment of the kill; no event of the child marks that moment.
        time.sleep(delay)
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def serve() -> None:
    """Run one command for each line of stdin, until stdin ends."""
    _warm()
    for line in sys.stdin:
        sys.stdout.write(f"{_serve(line)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
