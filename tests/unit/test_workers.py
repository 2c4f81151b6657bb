from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable
from contextvars import ContextVar
from functools import partial

import pytest

from image_history.errors import InterruptedRunError
from image_history.extract.workers import Arrivals
from image_history.model import Stop

MANY, HANGING = 100, 40
MARK: ContextVar[int] = ContextVar("mark")


def test_results_come_however_many_hang() -> None:
    """More jobs than threads hang, and all other jobs still return their results."""
    released = threading.Event()

    def hang() -> int:
        released.wait(60)
        return -1

    jobs: list[Callable[[], int]] = [*[hang] * HANGING, *(partial(int, number) for number in range(MANY))]
    arrivals = Arrivals(jobs, Stop(), threads=32)
    assert {arrivals.next(math.inf) for _ in range(MANY)} == set(range(MANY))
    assert arrivals.next(time.monotonic() + 0.01) is None
    released.set()
    assert {arrivals.next(math.inf) for _ in range(HANGING)} == {-1}


def test_one_thread_is_not_left_alone_beside_those_that_hang() -> None:
    """If all threads but one hang, other threads replace them, although results still arrive."""
    released, together = threading.Event(), threading.Barrier(2)

    def hang() -> int:
        released.wait(60)
        return -1

    def meet() -> int:
        return together.wait(30) + 1

    jobs: list[Callable[[], int]] = [*[hang] * 31, *[meet] * 40]
    arrivals = Arrivals(jobs, Stop(), threads=32)
    assert {arrivals.next(math.inf) for _ in range(40)} == {1, 2}
    released.set()


def test_few_threads_do_many_jobs() -> None:
    """While jobs end, no more threads are started than configured."""
    seen: set[int] = set()
    arrivals = Arrivals([lambda: seen.add(threading.get_ident())] * 1_000, Stop(), threads=32)
    for _ in range(1_000):
        arrivals.next(math.inf)
    assert len(seen) <= 32


def test_each_job_has_a_context_of_its_own() -> None:
    """A job does not see context values that an earlier job of its thread set, and sees those set before all jobs."""
    MARK.set(-1)

    def job(number: int) -> int:
        found = MARK.get()
        MARK.set(number)
        return found

    arrivals = Arrivals([partial(job, number) for number in range(MANY)], Stop(), threads=32)
    assert {arrivals.next(math.inf) for _ in range(MANY)} == {-1}


def _outcome(arrivals: Arrivals[None]) -> str:
    try:
        return str(arrivals.next(math.inf))
    except KeyError as error:
        return str(error)


def test_exception_of_a_job_and_a_stop_are_raised() -> None:
    """The exception of a job and a request to stop are raised to the caller that waits."""

    def fail() -> None:
        raise KeyError("mine")

    stop = Stop()
    arrivals: Arrivals[None] = Arrivals([fail, lambda: None], stop, threads=2)
    heard = [_outcome(arrivals) for _ in range(2)]
    assert sorted(heard, key=str) == ["'mine'", "None"]
    stop.request(signal.SIGTERM)
    with pytest.raises(InterruptedRunError):
        arrivals.next(math.inf)
