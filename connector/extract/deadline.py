"""A bound on a whole call: the network's timeouts bound only the silence between two reads of a socket.

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


class _Companion:
    """A daemon thread that makes the calls of one other thread; it ends when that thread is gone."""

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


_own = threading.local()


def within(seconds: float, call: Callable[[], Result]) -> Result:
    """What the call returns or raises; TimeoutError if it does neither in so many seconds.

    An overdue call cannot be broken off. It goes on in a thread of its own that keeps no process alive, and
    its outcome is dropped; later calls of this thread get another one.
    """
    outcome: Future[Result] = Future()

    def job() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the outcome is awaited
            outcome.set_exception(error)

    if getattr(_own, "companion", None) is None:
        _own.companion = _Companion()
    _own.companion.give(job)
    try:
        return outcome.result(timeout=seconds)
    except TimeoutError:
        _own.companion = None
        raise
