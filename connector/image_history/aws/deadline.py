"""A bound on a whole call, and on how many are under way: the network's timeouts bound only its silences.

A call that is overdue loses its socket. Must not know what is called.
"""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from queue import SimpleQueue
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")
_Job = Callable[[], None]
_under_way = threading.local()


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
        # It holds the login, whose connections would stay open while the thread waits for another call: for ever.
        del job


class _Call(Generic[Result]):
    """One call and what came of it. A bare lock tells of its end: a Future costs three times as much."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self._made = threading.Lock()
        self._made.acquire()
        self._connection: Any = None
        self._overdue = False

    def make(self) -> None:
        """Make it, in whatever thread this is."""
        _under_way.call = self
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            self._error = error
        finally:
            _under_way.call = self._connection = None
            self._made.release()

    def uses(self, connection: Any) -> None:
        """The call connects or sends by this connection of http.client's. TimeoutError if it is overdue."""
        self._connection = connection
        if self._overdue:
            raise TimeoutError

    def abandon(self) -> None:
        """Let whatever the call waits for at its socket end, and any other socket that it may want."""
        self._overdue = True
        used = getattr(self._connection, "sock", None)
        if used is not None:
            with suppress(OSError):
                used.shutdown(socket.SHUT_RDWR)

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


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: which connection a call uses, since a response without headers names none."""
    if event in {"http.client.connect", "http.client.send"}:
        call = getattr(_under_way, "call", None)
        if call is not None:
            call.uses(arguments[0])


@cache
def _listen() -> None:
    """Once for the process: Python has no way to take a hook away."""
    sys.addaudithook(_hear)


class Callers:
    """Makes `most` calls at a time, each within its time. Safe to share between threads."""

    def __init__(self, most: int) -> None:
        _listen()
        self._free = threading.BoundedSemaphore(most)
        self._idle: list[_Caller] = []

    def within(self, seconds: float, call: Callable[[], Result]) -> Result:
        """What the call returns or raises; TimeoutError if it does neither in so many seconds of its own.

        The time that it waits for its turn does not count. An overdue call loses its socket. What else it may
        wait for cannot be broken off: it goes on in a thread that keeps no process alive and takes nobody's
        turn, and its outcome is dropped.
        """
        made = _Call(call)
        with self._free:
            caller = self._take()
            caller.give(made.make)
            if not made.awaited(seconds):
                made.abandon()
                raise TimeoutError
            self._idle.append(caller)
        return made.outcome()

    def _take(self) -> _Caller:
        try:
            return self._idle.pop()
        except IndexError:
            return _Caller()
