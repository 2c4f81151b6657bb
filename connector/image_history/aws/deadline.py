"""A bound on a whole call, and on how many are under way: the network's timeouts bound only its silences.

A call that is overdue loses its socket, which ends it. A call that may wait for something else (a name server, a
program that has credentials) is made by a thread of its own, which can be left behind; that costs a third of the
call's CPU, so a call that has its connection is made where it is wanted, and anew by a thread of its own if it turns
out to need more than that. Must not know what is called.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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


class _DetourError(BaseException):
    """A call that was thought to have its connection is about to look a name up, or to start a program.

    Nothing has been sent. Not an Exception: whoever explains a failed connection would take it for one.
    """


class _Call(Generic[Result]):
    """One call, with the connection that it uses."""

    def __init__(self, call: Callable[[], Result]) -> None:
        self._call = call
        self._connection: Any = None
        self._socket: Any = None
        self._using = threading.Lock()
        self._overdue = False

    def uses(self, connection: Any) -> None:
        """The call connects or sends by this connection of http.client's. TimeoutError if it is overdue."""
        with self._using:
            # An answer that ends its connection takes the socket away from it, and is read on.
            self._connection, self._socket = connection, getattr(connection, "sock", None)
        self.require_in_time()

    def let_go(self) -> None:
        """The connection may serve another call from now on."""
        with self._using:
            self._connection = self._socket = None

    def needs_more(self) -> None:
        """The call will wait for something that cannot be taken away from it."""

    def abandon(self) -> None:
        """Let whatever the call waits for at its socket end, and any other socket that it may want."""
        self._overdue = True
        with self._using:
            used = self._socket or getattr(self._connection, "sock", None)
            # One that speaks TLS within TLS, to a proxy, has it inside.
            used = getattr(used, "socket", used)
            if used is not None:
                with suppress(OSError):
                    used.shutdown(socket.SHUT_RDWR)

    def require_in_time(self) -> None:
        """TimeoutError if it was overdue: what came of it then is cut."""
        if self._overdue:
            raise TimeoutError


class _Here(_Call[Result]):
    """A call that the thread that wants it makes: it may wait for nothing but its socket."""

    def needs_more(self) -> None:
        """Nothing has been sent yet."""
        raise _DetourError

    def made(self, watch: _Watch, seconds: float) -> Result:
        """Make it. TimeoutError if it was overdue, _DetourError if it has to be made by another thread."""
        outer = getattr(_under_way, "call", None)
        _under_way.call = self
        try:
            with watch.over(self, seconds):
                return self._call()
        finally:
            _under_way.call = outer


class _Apart(_Call[Result]):
    """A call that another thread makes. A bare lock tells of its end: a Future costs three times as much."""

    def __init__(self, call: Callable[[], Result]) -> None:
        super().__init__(call)
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self._made = threading.Lock()
        self._made.acquire()

    def make(self) -> None:
        """Make it, in whatever thread this is."""
        _under_way.call = self
        try:
            self._result.append(self._call())
        except BaseException as error:  # noqa: BLE001 - it is raised where the call is awaited
            self._error = error
        finally:
            _under_way.call = None
            self.let_go()
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


def connection_is_free() -> None:
    """Say that the connection of the call that this thread makes may serve another call."""
    call = getattr(_under_way, "call", None)
    if call is not None:
        call.let_go()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """An audit hook: which connection a call uses, as a response without headers names none; what else it needs."""
    if event in _HEARD:
        call = getattr(_under_way, "call", None)
        if call is not None:
            _HEARD[event](call, arguments)


_HEARD: Mapping[str, Callable[[_Call[Any], tuple[Any, ...]], None]] = {
    "http.client.connect": lambda call, arguments: call.uses(arguments[0]),
    "http.client.send": lambda call, arguments: call.uses(arguments[0]),
    "socket.getaddrinfo": lambda call, _: call.needs_more(),
    "subprocess.Popen": lambda call, _: call.needs_more(),
}


@cache
def _listen() -> None:
    """Once for the process: Python has no way to take a hook away."""
    sys.addaudithook(_hear)


class _Watch:
    """Ends calls that are overdue, from a daemon thread of its own. Safe to share between threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: dict[_Call[Any], float] = {}
        self._wakes = 0.0
        self._open = False

    @contextmanager
    def over(self, call: _Call[Any], seconds: float) -> Iterator[None]:
        """Abandon the call if the body takes longer; TimeoutError at the end of the body then, never after it."""
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
            call.require_in_time()

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
        call has its connection, so that this thread may make it. It is called once more before another thread makes
        the call after all. An overdue call loses its socket. What else it may wait for cannot be broken off: it goes
        on in a thread that keeps no process alive and takes nobody's turn, and its outcome is dropped.
        """
        with self._free:
            if begin():
                with suppress(_DetourError):
                    return _Here(call).made(self._watch, seconds)
                begin()
            made = _Apart(call)
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
