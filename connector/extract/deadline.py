"""A bound on a whole call, and on how many are under way: the network's timeouts bound only its silences.

Must not know what is called.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Result = TypeVar("Result")
_Job = Callable[[], None]


class _Caller:
    """A daemon thread that makes one call after the other; it ends when nobody can give it another."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs,), name="call", daemon=True).start()

    def give(self, job: _Job) -> None:
        """Have the job done after those that were given before."""
        self._jobs.put(job)

    def __del__(self) -> None:
        self._jobs.put(None)


def _work(jobs: queue.SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()


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
        with self._free:
            caller = self._take()
            outcome: Future[Result] = Future()
            caller.give(lambda: _settle(outcome, call))
            outcome.exception(timeout=seconds)
            self._idle.append(caller)
        return outcome.result()

    def _take(self) -> _Caller:
        try:
            return self._idle.pop()
        except IndexError:
            return _Caller()


def _settle(outcome: Future[Result], call: Callable[[], Result]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
        outcome.set_exception(error)
