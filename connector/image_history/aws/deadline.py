"""Limits the total time of a call, and how many calls are in progress at the same time.

The network's timeouts limit only the time without data. An overdue call is ended by shutting down its socket. A
call that may wait for something else (a name server, a credential program) is made by a separate thread, which can
be left behind. That costs a third of the call's CPU. So a call that has its connection is made by the calling
thread, and started again by a separate thread if it turns out to need more than its connection. Must not know what
is called.
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
    """A daemon thread that makes one call after the other. It ends when this object is no longer referenced."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        threading.Thread(target=_work, args=(self._jobs,), name="call", daemon=True).start()

    def give(self, job: _Job) -> None:
        """Queue the job behind those that were given before."""
        self._jobs.put(job)

    def __del__(self) -> None:
        self._jobs.put(None)


def _work(jobs: SimpleQueue[_Job | None]) -> None:
    while (job := jobs.get()) is not None:
        job()
        # The job holds the login, whose connections would stay open while the thread waits for the next job.
        del job


class _DetourError(BaseException):
    """A call in the calling thread is about to look up a name or start a program, so it must be moved.

    Nothing has been sent. It is not an Exception, so that handlers of failed connections do not catch it.
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
        """Record the http.client connection on which the call connects or sends. TimeoutError if it is overdue."""
        with self._using:
            # An answer that ends its connection takes over its socket, and is read to the end.
            self._connection, self._socket = connection, getattr(connection, "sock", None)
        self.require_in_time()

    def let_go(self) -> None:
        """Forget the connection: from now on it may serve another call."""
        with self._using:
            self._connection = self._socket = None

    def needs_more(self) -> None:
        """The call is about to wait for something other than its socket, which cannot be interrupted."""

    def abandon(self) -> None:
        """Mark the call as overdue and shut down its socket. Using a connection later raises TimeoutError."""
        self._overdue = True
        with self._using:
            used = self._socket or getattr(self._connection, "sock", None)
            # For TLS within TLS, to a proxy, the real socket is inside.
            used = getattr(used, "socket", used)
            if used is not None:
                with suppress(OSError):
                    used.shutdown(socket.SHUT_RDWR)

    def require_in_time(self) -> None:
        """Raise TimeoutError if the call is overdue, since its result may be cut off."""
        if self._overdue:
            raise TimeoutError


class _Here(_Call[Result]):
    """A call made by the calling thread. It may wait only for its socket."""

    def needs_more(self) -> None:
        """Raise _DetourError. Nothing has been sent yet."""
        raise _DetourError

    def made(self, watch: _Watch, seconds: float) -> Result:
        """Make the call. TimeoutError if it was overdue, _DetourError if another thread has to make it."""
        outer = getattr(_under_way, "call", None)
        _under_way.call = self
        try:
            with watch.over(self, seconds):
                return self._call()
        finally:
            _under_way.call = outer


class _Apart(_Call[Result]):
    """A call made by another thread. A plain lock signals its end: a Future would cost three times as much."""

    def __init__(self, call: Callable[[], Result]) -> None:
        super().__init__(call)
        self._result: list[Result] = []
        self._error: BaseException | None = None
        self._made = threading.Lock()
        self._made.acquire()

    def make(self) -> None:
        """Make the call in the current thread, and keep its result or error."""
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
        """Wait for the call; True if it has ended within `seconds`."""
        return self._made.acquire(timeout=seconds)

    def outcome(self) -> Result:
        """Return what the ended call returned, or raise what it raised."""
        if self._error is not None:
            try:
                raise self._error
            finally:
                # Breaks a reference cycle: the error's traceback holds this frame.
                self._error = None
        return self._result[0]


def connection_is_free() -> None:
    """Release the connection of this thread's current call, so that it may serve another call."""
    call = getattr(_under_way, "call", None)
    if call is not None:
        call.let_go()


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    """Audit hook: record which connection this thread's call uses, and notice if it needs anything else."""
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
    """Install the audit hook, once for the process: Python cannot remove a hook."""
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
        """Abandon the call if the body takes longer. TimeoutError is then raised as the body ends, never later."""
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
    """Makes up to `most` calls at a time, each within a time limit. Safe to share between threads."""

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
        """Return or raise what the call does; TimeoutError if it does neither within `seconds`.

        The wait for a free slot does not count. `begin` is called once there is a slot: it returns True if the call
        has its connection, so that this thread may make it. It is called again if another thread has to make the
        call after all. The socket of an overdue call is shut down. Anything else that the call waits for cannot be
        interrupted: it goes on in a daemon thread, which occupies no slot, and its outcome is dropped.
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
