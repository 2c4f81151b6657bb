"""A bound on a whole call, and on how many are under way: the network's timeouts bound only its silences.

Must not know what is called.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Generic, TypeVar

Result = TypeVar("Result")
_Job = Callable[[], None]


class _Caller:
    """A daemon thread that makes one call after the other; it ends when nobody can give it another."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs,), name="call", daemon=True).start()

    def give(self, job: _Job) -> None:
        """Have the job done after those that were given before."""
        self._jobs.put(job)

    def __del__(self) -> None:
        self._jobs.put(None)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()


class _Call(Generic[Result]):
    """One call and what came of it. A bare lock tells of its end: a Future costs three times as much."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self._made = threading.Lock()
        self._made.acquire()

    def make(self) -> None:
        """Make it, in whatever thread this is."""
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            self._error = error
        finally:
            self._made.release()

    def awaited(self, seconds: float) -> bool:
        """Whether it has ended within so many seconds."""
        return self._made.acquire(timeout=seconds)

    def outcome(self) -> Result:
        """What it returned, once it has ended, or what it raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # The traceback holds this frame, which would hold the error.
                self._error = None
        return self._result[0]


class Callers:
    """Makes `most` calls at a time, each within its time. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._free = threading.BoundedSemaphore(most)
        self._idle: list[_Caller] = []

    def within(self, seconds: float, call: Callable[[], Result]) -> Result:
        """What the call returns or raises; TimeoutError if it does neither in so many seconds of its own.

        The time that it waits for its turn does not count. An overdue call cannot be broken off: it goes on
        in a thread that keeps no process alive and takes nobody's turn, and its outcome is dropped.
        """
        made = _Call(call)
        with self._free:
            caller = self._take()
            caller.give(made.make)
            if not made.awaited(seconds):
                raise TimeoutError
            self._idle.append(caller)
        return made.outcome()

    def _take(self) -> _Caller:
        try:
            return self._idle.pop()
        except IndexError:
            return _Caller()
