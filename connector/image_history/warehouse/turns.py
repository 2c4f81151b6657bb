"""Turns at the warehouse file: one at a time in a process; writers go before readers, readers before queries.

Must not know DuckDB, nor what is done in a turn.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import TypeVar

from image_history.begun import Begun
from image_history.durable.disk import open_lock, unlink
from image_history.durable.effects import Effect, File, fault_point
from image_history.durable.guard import opened_to_read
from image_history.errors import WarehouseLockedError

T = TypeVar("T")

_POLL_SECONDS = 0.1
# A process has one open DuckDB database per file; DuckDB refuses to open it again with other settings.
_TURNS: dict[Path, threading.Lock] = {}
os.register_at_fork(after_in_child=_TURNS.clear)


class Role(Enum):
    """What the file is wanted for. A query may take long, and can be stopped and repeated."""

    WRITER = "writer"
    READER = "reader"
    QUESTION = "question"


@contextmanager
def turn(path: Path, opening: Callable[[], T], wait_seconds: float, role: Role) -> Iterator[T]:
    """Yield the result of `opening` while no other thread of this process uses the file.

    If the file is locked, retries for `wait_seconds` in all, then raises WarehouseLockedError. A waiting writer
    announces itself to all processes, a waiting reader to the queries of its own process. Readers and queries wait
    for an announced writer for half of `wait_seconds` at most: it may itself wait for a program that keeps the file.
    """
    until = time.monotonic() + wait_seconds
    with closing(_Announcement(path)) as announcement:
        if role is not Role.WRITER:
            _let_in(path, time.monotonic() + wait_seconds / 2)
        with _among_threads(path, until, _say_nothing if role is Role.QUESTION else announcement.make):
            opened = _opened(opening, until, announcement.make if role is Role.WRITER else _say_nothing)
            announcement.close()
            yield opened


def is_wanted(path: Path) -> bool:
    """Whether a writer or reader waits for the file, so that a query should end its turn."""
    try:
        with opened_to_read(_wish_path(path)) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


class _Announcement:
    """Announces a waiting process with a locked file beside the warehouse; the lock ends with the process.

    If the file cannot be made, the process waits without an announcement.
    """

    def __init__(self, path: Path) -> None:
        self._path = _wish_path(path)
        self._descriptor: int | None = None

    def make(self) -> None:
        """Make and lock the file, unless another process holds it; again if it was removed meanwhile."""
        if self._descriptor is not None and self._is_in_place(self._descriptor):
            return
        self._forget()
        with suppress(OSError):
            self._descriptor = open_lock(self._path)
            fault_point(Effect.LOCK, File.LOCK)
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        self._forget()

    def close(self) -> None:
        """Remove the announcement, if it was made."""
        if self._descriptor is not None:
            with suppress(OSError):
                unlink(self._path, File.LOCK)
        self._forget()

    def _is_in_place(self, descriptor: int) -> bool:
        try:
            return os.fstat(descriptor).st_ino == self._path.stat().st_ino
        except OSError:
            return False

    def _forget(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _wish_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.wanted")


def _say_nothing() -> None:
    """Announce nothing."""


def _let_in(path: Path, until: float) -> None:
    while is_wanted(path) and time.monotonic() < until:
        # flock has no time limit for waiting, so the lock is checked again and again.
        time.sleep(_POLL_SECONDS / 4)


@contextmanager
def _among_threads(path: Path, until: float, announce: Callable[[], None]) -> Iterator[None]:
    lock = _TURNS.setdefault(path.resolve(), threading.Lock())
    while not lock.acquire(timeout=min(_POLL_SECONDS, max(0.0, until - time.monotonic()))):
        if time.monotonic() >= until:
            raise WarehouseLockedError(
                f"The warehouse {path} is in use elsewhere in this process: by another thread, or by a block "
                "around this one. Wait until it has ended.",
                holder="this process",
            )
        announce()
    try:
        yield
    finally:
        lock.release()


def _opened(opening: Callable[[], T], until: float, announce: Callable[[], None]) -> T:
    try:
        return opening()
    except WarehouseLockedError as error:
        begun = Begun(opening, error)
    import tenacity

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(WarehouseLockedError),
        stop=lambda _: time.monotonic() >= until,
        wait=tenacity.wait_random(_POLL_SECONDS / 2, _POLL_SECONDS),
        before_sleep=lambda _: announce(),
        reraise=True,
    )
    return retrying(begun)
