"""A bound on a whole call, and on how many are under way: the network's timeouts bound only its silences.

A call that is overdue loses its socket, which ends it. A call that may wait for something else (a name server, a
program that has credentials) is made by a thread of its own, which can be left behind; that costs a third of the
call's CPU, so other calls are made where they are wanted. Must not know what is called.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
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

    def here(self, watch: _Watch, seconds: float) -> Result:
        """Make it in this thread. TimeoutError if it has lost its socket for being overdue."""
        outer = getattr(_under_way, "call", None)
        _under_way.call = self
        try:
            with watch.over(self, seconds):
                return self._call()
        except Exception as error:
            if self._overdue:
                raise TimeoutError from error
            raise
        finally:
            _under_way.call, self._connection = outer, None

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


class _Watch:
    """Ends calls that are overdue, from a daemon thread of its own. Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[_Call[Any], float] = {}
        self._wakes = 0.0
        self._open = False

    @contextmanager
    def over(self, call: _Call[Any], seconds: float) -> Iterator[None]:
        """Abandon the call if the body takes longer; never after the body has ended."""
        due = time.monotonic() + seconds
        with self._changed:
            self._due[call] = due
            if not self._open:
                self._open = True
                threading.Thread(target=self._work, name="overdue", daemon=True).start()
            elif due < self._wakes:
                self._changed.notify()
        try:
            yield
        finally:
            with self._changed:
                self._due.pop(call, None)

    def close(self) -> None:
        """Let the thread end."""
        with self._changed:
            self._open = False
            self._changed.notify()

    def _work(self) -> None:
        with self._changed:
            while self._open:
                now = time.monotonic()
                for call in [call for call, due in self._due.items() if due <= now]:
                    del self._due[call]
                    call.abandon()
                self._wakes = min(self._due.values(), default=now + threading.TIMEOUT_MAX)
                self._changed.wait(self._wakes - now)


def _never() -> bool:
    return False


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
        self._watch = _Watch()

    def __del__(self) -> None:
        self._watch.close()

    def within(
        self, seconds: float, call: Callable[[], Result], *, begin: Callable[[], bool] = _never
    ) -> Result:
        """What the call returns or raises; TimeoutError if it does neither in so many seconds of its own.

        The time that it waits for its turn does not count. `begin` is called when the turn has come: True if the
        call can wait for nothing but a socket, so that this thread may make it. An overdue call loses its socket.
        What else it may wait for cannot be broken off: it goes on in a thread that keeps no process alive and
        takes nobody's turn, and its outcome is dropped.
        """
        made = _Call(call)
        with self._free:
            if begin():
                return made.here(self._watch, seconds)
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
