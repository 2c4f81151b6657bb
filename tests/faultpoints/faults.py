"""What can go wrong at an effect: the process dies, or the disk refuses.

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
    """What happens in place of an effect."""

    KILL = "kill"
    ENOSPC = "ENOSPC"
    EIO = "EIO"
    EACCES = "EACCES"
    PAUSE = "pause"


REFUSALS = (Action.ENOSPC, Action.EIO, Action.EACCES)
# What the disk cannot refuse: the page has come, the transaction is on disk, the connection is dropped.
ONLY_KILLED = frozenset({Effect.FETCHED, Effect.COMMITTED, Effect.CLOSE})
ENGINE = frozenset({Effect.CONNECT, Effect.BEGIN, Effect.STATEMENT, Effect.COMMIT})
# What has commits as DuckDB has, and errors of another kind.
LAKES = frozenset({File.TABLE, File.TABLE_FILE, File.UPKEEP})


@dataclass(frozen=True, slots=True)
class Fault:
    """`action` takes place at the `number`-th time (from 1) that the point is reached."""

    effect: str
    subject: str
    action: Action
    number: int = 1

    @classmethod
    def parse(cls, text: str) -> Fault:
        """`EFFECT.SUBJECT:ACTION:N`, as in `rename.segment:ENOSPC:2`."""
        point, action, number = text.split(":")
        effect, _, subject = point.partition(".")
        return cls(Effect(effect).value, subject, Action(action), int(number))

    def __str__(self) -> str:
        return f"{self.effect}.{self.subject}:{self.action}:{self.number}"

    def happen(self) -> None:
        """Do it."""
        if self.action is Action.KILL:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.action is Action.PAUSE:
            # Longer than any test: who asks for a pause kills the process in it.
            time.sleep(PAUSE_SECONDS)
            return
        number = getattr(errno, self.action.value)
        if self.effect in ENGINE and self.subject not in LAKES:
            raise duckdb.IOException(f"IO Error: Could not use the file: {os.strerror(number)}")
        raise OSError(number, os.strerror(number))


@dataclass(slots=True)
class Tripwire:
    """The hook that lets a fault happen and tells `seen` every point that is reached."""

    fault: Fault | None
    seen: Callable[[Point], None]
    counts: Counter[Point] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self, effect: Effect, subject: str) -> None:
        """Called at every point, on any thread."""
        point = (effect.value, str(subject))
        with self.lock:
            self.counts[point] += 1
            number = self.counts[point]
            self.seen(point)
        fault = self.fault
        if fault is not None and (point, number) == ((fault.effect, fault.subject), fault.number):
            fault.happen()


def tracing(path: Path) -> Callable[[Point], None]:
    """Appends each point to a file at once, so that what a killed process reached is known."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return lambda point: (os.write(descriptor, f"{point[0]}\t{point[1]}\n".encode()), None)[1]


def traced(path: Path) -> list[Point]:
    """The points that were reached, in their order."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [(effect, subject) for effect, _, subject in (line.partition("\t") for line in lines)]
