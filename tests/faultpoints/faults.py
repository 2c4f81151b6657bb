"""The faults that a test injects at an effect: the process is killed, or the disk refuses the operation.

Must not know which effects a run has.
"""

from __future__ import annotations

import errno
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import duckdb

from image_history.durable.effects import Effect, File

Point = tuple[str, str]
PAUSE_SECONDS = 3600.0


class Action(StrEnum):
    """The fault that is injected in place of an effect."""

    KILL = "kill"
    ENOSPC = "ENOSPC"
    EIO = "EIO"
    EACCES = "EACCES"
    PAUSE = "pause"


REFUSALS = (Action.ENOSPC, Action.EIO, Action.EACCES)
# The disk cannot refuse these: the page is received, the transaction is on disk, or the connection is closed.
ONLY_KILLED = frozenset({Effect.FETCHED, Effect.COMMITTED, Effect.CLOSE})
ENGINE = frozenset({Effect.CONNECT, Effect.BEGIN, Effect.STATEMENT, Effect.COMMIT})
# Lakes have commits, as DuckDB has, but raise errors of another kind.
LAKES = frozenset({File.TABLE, File.TABLE_FILE, File.UPKEEP})


@dataclass(frozen=True, slots=True)
class Fault:
    """The fault `action` happens when the point is reached for the `number`-th time (from 1)."""

    effect: str
    subject: str
    action: Action
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Fault:
        """Parses `EFFECT.SUBJECT:ACTION:N`, as in `rename.segment:ENOSPC:2`."""
        point, action, number = text.split(":")
        effect, _, subject = point.partition(".")
        return cls(Effect(effect).value, subject, Action(action), int(number))

    def __str__(self) -> str:
        return f"{self.effect}.{self.subject}:{self.action}:{self.number}"

    def happen(self) -> None:
        """Kill the process, pause it, or raise the error."""
        if self.action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action is Action.PAUSE:
            # The pause is longer than any test: the test that asks for it kills the process during the pause.
            time.sleep(PAUSE_SECONDS)
            return
        number = getattr(errno, self.action.value)
        if self.effect in ENGINE and self.subject not in LAKES:
            raise duckdb.IOException(f"IO Error: Could not use the file: {os.strerror(number)}")
        raise OSError(number, os.strerror(number))


@dataclass(slots=True)
class Tripwire:
    """The hook that injects a fault, and calls `seen` with every point that is reached."""

    fault: Fault | None
    seen: Callable[[Point], None]
    counts: Counter[Point] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, effect: Effect, subject: str) -> None:
        """Count the point, report it and inject the fault if it is due. Any thread may call this."""
        point = (effect.value, str(subject))
        with self.lock:
            self.counts[point] += 1
            number = self.counts[point]
            self.seen(point)
        fault = self.fault
        if fault is not None and (point, number) == ((fault.effect, fault.subject), fault.number):
            fault.happen()


def tracing(path: Path) -> Callable[[Point], None]:
    """Returns a function that writes each point to a file at once, so that a kill does not lose the points."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return lambda point: (os.write(descriptor, f"{point[0]}\t{point[1]}\n".encode()), None)[1]


def traced(path: Path) -> list[Point]:
    """The points that were reached, in order."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(effect, subject) for effect, _, subject in (line.partition("\t") for line in lines)]
