"""The number of useful threads follows from the time that calls take."""

from __future__ import annotations

import threading
from itertools import islice, repeat

import pytest

from image_history.extract.timing import CallTimes

FAST = 1e9


def timed(*seconds: float) -> CallTimes:
    """The measured times after calls that took so long."""
    times = CallTimes()
    for each in seconds:
        times.took(each)
    return times


def test_one_thread_comes_before_anything_is_known() -> None:
    """Before the first call has ended, one thread is useful."""
    assert timed().threads_of_use(FAST) == 1


@pytest.mark.parametrize(("seconds", "threads"), [(0.0, 1), (0.0009, 1), (0.0501, 50), (3.0, 3000)])
def test_threads_are_as_many_as_calls_wait_for_aws(seconds: float, threads: int) -> None:
    """A page takes a millisecond of work, so one thread is useful for each millisecond of a call."""
    assert timed(seconds).threads_of_use(FAST) == threads


def test_waiting_for_each_other_is_no_reason_for_more_threads() -> None:
    """If calls are slow only because threads wait for each other, occasional quick calls keep the number at one."""
    times = timed(0.0009)
    for _ in range(50):
        for seconds in (*repeat(0.008, 15), 0.001):
            times.took(seconds)
            assert times.threads_of_use(FAST) == 1


def test_it_is_forgotten_that_calls_were_quick_once() -> None:
    """If AWS becomes slow, the number of threads rises within some hundred calls."""
    times = timed(0.001)
    threads = []
    for seconds in islice(repeat(0.05), 500):
        times.took(seconds)
        threads.append(times.threads_of_use(FAST))
    assert threads == sorted(threads)
    assert threads[-1] == 50


@pytest.mark.parametrize(("per_second", "threads"), [(2.0, 2), (20.0, 4), (200.0, 22)])
def test_no_more_threads_than_the_rate_lets_call(per_second: float, threads: int) -> None:
    """The configured rate limits the number of threads to about twice the average number of calls in progress."""
    assert timed(*repeat(0.05, 100)).threads_of_use(per_second) == threads


def test_threads_whose_call_hangs_count_for_nothing() -> None:
    """For each thread whose call hangs, one more thread is useful, until the call ends."""
    now = 0.0
    times = CallTimes(clock=lambda: now)
    begun, end = threading.Barrier(3), threading.Event()

    def hang() -> None:
        with times:
            begun.wait(10)
            assert end.wait(10)

    hanging = [threading.Thread(target=hang) for _ in range(2)]
    for thread in hanging:
        thread.start()
    begun.wait(10)
    assert times.threads_of_use(FAST) == 1
    now = 10.0
    assert times.threads_of_use(FAST) == 3
    now = 0.0
    end.set()
    for thread in hanging:
        thread.join(10)
    assert times.threads_of_use(FAST) == 1


def test_a_call_that_failed_tells_nothing_of_time() -> None:
    """A failed call does not change the measured times."""
    times = CallTimes()
    with pytest.raises(OSError, match="away"), times:
        raise OSError("away")
    assert times.late_seconds == 0.0
    assert times.threads_of_use(FAST) == 1
