"""Threads that work in parallel, and are waited for together.

All are daemon threads: one that hangs does not keep the process alive. Must not know what they do.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from image_history.model import Stop

Result = TypeVar("Result")

_GRACE_SECONDS = 3.0
_POLL_SECONDS = 0.5
# A job that has taken this long is waiting for something, and will probably wait longer.
_LONG_SECONDS = 2.0


class Workers:
    """A group of threads. The first failure ends the wait for all of them."""

    def __init__(self, stop: Stop) -> None:
        self._stop = stop
        self._changed = threading.Condition()
        self._running = 0
        self._failure: BaseException | None = None
        self._closed = False

    @property
    def over(self) -> bool:
        """Whether no more work may begin: a thread has failed, a stop was requested, or `close` was called."""
        return self._closed or self._failure is not None or self._stop.requested

    def close(self) -> None:
        """Let the threads end after their current work."""
        self._closed = True

    def start(self, job: Callable[[], None]) -> None:
        """Run the job on a new thread."""
        with self._changed:
            self._running += 1
        threading.Thread(target=copy_context().run, args=(self._run, job), name="worker", daemon=True).start()

    def _run(self, job: Callable[[], None]) -> None:
        failure: BaseException | None = None
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - it is raised where the threads are waited for
            failure = error
        with self._changed:
            self._failure = self._failure or failure
            self._running -= 1
            self._changed.notify_all()

    def wait(self) -> None:
        """Return when every thread has ended, or soon after a stop even if one hangs; raise the first failure."""
        deadline: float | None = None
        with self._changed:
            while self._running and self._failure is None:
                if deadline is None and self._stop.requested:
                    deadline = time.monotonic() + _GRACE_SECONDS
                if deadline is not None and time.monotonic() >= deadline:
                    return
                self._changed.wait(_POLL_SECONDS)
            if self._failure is not None:
                raise self._failure


def together(jobs: Sequence[Callable[[], Result]], threads: int, stop: Stop) -> list[Result]:
    """Run the jobs on `threads` threads. Return their results in order, or raise the first exception of one.

    Returns soon after `stop` is requested, with the results available then, even if a call hangs.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="scope")
    futures = [pool.submit(copy_context().run, job) for job in jobs]
    try:
        pending = set(futures)
        while pending and not stop.requested:
            done, pending = wait(pending, timeout=_POLL_SECONDS, return_when="FIRST_EXCEPTION")
            _raise_first(done)
        done, _ = wait(pending, timeout=_GRACE_SECONDS)
        _raise_first(done)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    return [future.result() for future in futures if future.done() and not future.cancelled()]


def _raise_first(done: Iterable[Future[Result]]) -> None:
    for future in done:
        if not future.cancelled():
            future.result()


class Arrivals(Generic[Result]):
    """The results of jobs as they arrive. `threads` threads run the jobs; slow threads are replaced by new ones.

    So jobs that hang delay others only for a moment, however many hang. Only one thread may call `next`.
    """

    def __init__(self, jobs: Iterable[Callable[[], Result]], stop: Stop, *, threads: int) -> None:
        self._waiting = deque(jobs)
        self._threads = threads
        self._stop = stop
        self._arrived: SimpleQueue[tuple[Result] | BaseException] = SimpleQueue()
        self._begun: dict[int, float] = {}
        self._looked = time.monotonic()
        self._come(threads)

    def next(self, due: float) -> Result | None:
        """The next result; None once `due` (monotonic seconds) has come. Raises what a job raised, and at a stop."""
        while True:
            self._stop.check()
            self._replace()
            left_seconds = due - time.monotonic()
            if left_seconds <= 0:
                return None
            try:
                arrived = self._arrived.get(timeout=min(_POLL_SECONDS, left_seconds))
            except Empty:
                if left_seconds >= _POLL_SECONDS:
                    self._come(self._threads)
                continue
            if isinstance(arrived, BaseException):
                raise arrived
            return arrived[0]

    def _replace(self) -> None:
        """Start threads in place of those whose job takes long; checked twice a second at most."""
        now = time.monotonic()
        if self._waiting and now - self._looked >= _POLL_SECONDS:
            self._looked = now
            quick = sum(now - begun < _LONG_SECONDS for begun in list(self._begun.values()))
            self._come(self._threads - quick)

    def _come(self, threads: int) -> None:
        for _ in range(min(threads, len(self._waiting))):
            threading.Thread(target=copy_context().run, args=(self._work,), name="scope", daemon=True).start()

    def _work(self) -> None:
        me = threading.get_ident()
        while not self._stop.requested and (job := self._take()) is not None:
            self._begun[me] = time.monotonic()
            try:
                # Each job runs in its own context, as if it had its own thread.
                self._arrived.put((copy_context().run(job),))
            except BaseException as error:  # noqa: BLE001 - it is raised where the results are waited for
                self._arrived.put(error)
        self._begun.pop(me, None)

    def _take(self) -> Callable[[], Result] | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None
