from __future__ import annotations

import threading
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from image_history.extract.pace import Pacer
from image_history.model import Stop


class Clock:
    """A clock that advances only during a sleep."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds


def paced(per_second: float) -> tuple[Pacer, Clock]:
    """A pacer and its clock."""
    clock = Clock()
    return Pacer(per_second, clock=clock, sleep=clock.sleep), clock


def starts(pacer: Pacer, clock: Clock, count: int) -> list[float]:
    """The times at which the next calls start, in seconds since the clock began."""
    found = []
    for _ in range(count):
        pacer.wait()
        found.append(round(clock.now - 1_000, 6))
    return found


def test_calls_start_at_the_rate() -> None:
    """The first call starts at once, and each other call one interval later."""
    assert starts(*paced(2), 5) == [0, 0.5, 1, 1.5, 2]


def test_pause_is_not_made_up_for() -> None:
    """After a pause there is no burst: the rate applies from the next call on."""
    pacer, clock = paced(2)
    starts(pacer, clock, 2)
    clock.now += 60
    assert starts(pacer, clock, 3) == [60.5, 61, 61.5]


def test_throttling_halves_the_rate() -> None:
    """Each throttled answer doubles the interval between calls, up to sixteen times the interval."""
    pacer, clock = paced(1)
    factors = []
    for _ in range(6):
        pacer.throttled()
        factors.append(pacer.factor)
    assert factors == [1 / 2, 1 / 4, 1 / 8, 1 / 16, 1 / 16, 1 / 16]
    assert starts(pacer, clock, 3) == [0, 16, 32]


def test_success_wins_the_rate_back() -> None:
    """Sixteen answers restore the full rate, the first ones most of it, and the rate never exceeds it."""
    pacer, _ = paced(1)
    pacer.throttled()
    factors = []
    while pacer.factor < 1:
        pacer.succeeded()
        factors.append(pacer.factor)
    assert len(factors) == 16
    assert factors == sorted(factors)
    assert factors[3] > 0.75
    pacer.succeeded()
    assert pacer.factor == 1


def test_rate_is_whole_soon_after_a_minute_of_throttling() -> None:
    """However often AWS throttled before, sixteen answers in a row restore the full rate."""
    pacer, clock = paced(2)
    for _ in range(40):
        starts(pacer, clock, 1)
        pacer.throttled()
    pacer.succeeded()
    began = clock.now
    answered = 1
    while pacer.factor < 1:
        starts(pacer, clock, 1)
        pacer.succeeded()
        answered += 1
    assert answered == 16
    assert clock.now - began < 12


def test_rate_that_aws_once_throttled_is_felt_for() -> None:
    """Near a rate that AWS throttled, the rate rises in small steps; if calls succeed, it rises to the full rate."""
    pacer, _ = paced(1)
    for _ in range(2):
        pacer.throttled()
        for _ in range(4):
            pacer.succeeded()
    ceiling = pacer.factor
    pacer.throttled()
    factors = []
    while pacer.factor < 1:
        pacer.succeeded()
        factors.append(pacer.factor)
    assert factors[15] == pytest.approx(ceiling)
    assert all(after - before < 0.03 * ceiling for before, after in pairwise(factors[9:19]))
    assert 24 <= len(factors) <= 32


@pytest.mark.parametrize("allowed", [1.5, 1, 0.5, 0.25])
def test_less_than_the_rate_causes_no_storm(allowed: float) -> None:
    """If AWS allows less than the configured rate, at most one call in ten is throttled, and 70% of it is used."""
    pacer, clock = paced(2)
    level, since = 1.0, clock.now
    answers = throttles = 0
    while clock.now < 1_000 + 2_000:
        pacer.wait()
        level, since = min(max(1, allowed), level + (clock.now - since) * allowed), clock.now
        if level >= 1:
            level -= 1
            answers += 1
            pacer.succeeded()
        else:
            throttles += 1
            pacer.throttled()
    assert throttles <= answers / 9
    assert answers >= 0.7 * 2_000 * allowed


def test_thread_that_waits_its_turn_has_the_rate_of_then() -> None:
    """A thread that waits behind another one gets its start time later, at the rate of that moment."""
    pacer, clock = paced(1)
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        if not waits:
            behind.start()
        waits.append(seconds)
        clock.now += seconds
        for _ in range(16):
            pacer.succeeded()

    pacer = Pacer(1, clock=clock, sleep=sleep)
    behind = threading.Thread(target=pacer.wait)
    pacer.wait()
    for _ in range(4):
        pacer.throttled()
    pacer.wait()
    behind.join()
    assert waits == [16, 1]


@given(
    st.floats(0.1, 1_000), st.lists(st.sampled_from(["call", "throttled", "succeeded", "pause"]), max_size=60)
)
def test_rate_is_never_exceeded(per_second: float, events: list[str]) -> None:
    """Whatever happens, no two calls start closer together than the rate allows."""
    pacer, clock = paced(per_second)
    before: float | None = None
    for event in events:
        if event == "pause":
            clock.now += 0.7 / per_second
        elif event == "call":
            pacer.wait()
            assert before is None or clock.now - before >= (1 - 1e-6) / per_second - 1e-9
            before = clock.now
        else:
            getattr(pacer, event)()
        assert 1 / 16 <= pacer.factor <= 1


def test_threads_share_one_schedule() -> None:
    """Threads that wait at the same time get different start times, one interval apart."""
    waits: list[float] = []
    pacer = Pacer(4, clock=lambda: 0.0, sleep=waits.append)
    threads = [threading.Thread(target=pacer.wait) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(waits) == pytest.approx([0.25 * number for number in range(1, 8)])


def test_sleep_of_a_run_ends_soon_after_it_is_stopped() -> None:
    """A sleep ends soon after a request to stop, however long it would take, and a later sleep does not begin."""
    stop = Stop()
    asleep = threading.Thread(target=stop.sleep, args=(3_600,))
    asleep.start()
    stop.request(15)
    asleep.join(30)
    assert not asleep.is_alive()
    stop.sleep(3_600)
