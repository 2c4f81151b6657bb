from __future__ import annotations

import random
import threading
from collections.abc import Callable

import pytest

from image_history.errors import AccessDeniedError, ServiceUnavailableError, ThrottledError, TransientError
from image_history.extract.retry import RetryPolicy


class Waits(threading.Event):
    """An event whose waits return at once, and which records them in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(0.0 if timeout is None else timeout)
        return self.is_set()


def failing(
    times: int, error: Callable[[], Exception] = lambda: ServiceUnavailableError("down")
) -> Callable[[], str]:
    """A call that fails `times` times and then answers."""
    left = [None] * times

    def call() -> str:
        if left:
            left.pop()
            raise error()
        return "answer"

    return call


def run(
    policy: RetryPolicy, call: Callable[[], str], waits: Waits | None = None
) -> tuple[str, list[TransientError]]:
    """The answer, and the reported failures."""
    told: list[TransientError] = []
    return policy.run(call, stop=waits or Waits(), failed=told.append), told


@pytest.mark.parametrize("failures", [0, 1, 7])
def test_call_is_made_until_it_answers(failures: int) -> None:
    """Every transient failure is reported, and is followed by one more attempt."""
    waits = Waits()
    answer, told = run(RetryPolicy(attempts=8), failing(failures), waits)
    assert (answer, len(told), len(waits.seconds)) == ("answer", failures, failures)


@pytest.mark.parametrize("attempts", [1, 2, 8])
def test_attempts_include_the_first(attempts: int) -> None:
    """After the last attempt, its own failure is raised, without another wait."""
    waits, told = Waits(), list[TransientError]()
    numbers = iter(range(100))
    policy = RetryPolicy(attempts=attempts)
    with pytest.raises(ServiceUnavailableError, match=f"attempt {attempts - 1}$"):
        policy.run(
            failing(99, lambda: ServiceUnavailableError(f"attempt {next(numbers)}")),
            stop=waits,
            failed=told.append,
        )
    assert len(told) == attempts
    assert len(waits.seconds) == attempts - 1


@pytest.mark.parametrize("before", [0, 1, 2])
def test_other_errors_are_raised_at_once(before: int) -> None:
    """An error that is not transient is raised at once, and is not reported as a failed attempt."""
    waits, told = Waits(), list[TransientError]()
    errors = iter([*(ServiceUnavailableError("down") for _ in range(before)), AccessDeniedError("no")])
    with pytest.raises(AccessDeniedError):
        RetryPolicy().run(failing(99, lambda: next(errors)), stop=waits, failed=told.append)
    assert (len(waits.seconds), len(told)) == (before, before)


def test_jitter_is_full_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait lies between zero and a bound, which starts at half a second, doubles, and ends at the longest wait."""
    bounds: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        bounds.append((low, high))
        return high

    monkeypatch.setattr(random, "uniform", uniform)
    run(RetryPolicy(attempts=10, max_wait_seconds=60), failing(9))
    assert bounds == [(0, bound) for bound in (0.5, 1, 2, 4, 8, 16, 32, 60, 60)]


def test_jitter_stays_within_its_bounds() -> None:
    """Random waits differ, and none exceeds the longest wait."""
    waits = Waits()
    run(RetryPolicy(attempts=100, max_wait_seconds=2), failing(99), waits)
    assert all(0 <= seconds <= 2 for seconds in waits.seconds)
    assert len(set(waits.seconds)) > 50


@pytest.mark.parametrize(("asked", "waited"), [(7, 7), (90, 90), (100_000, 300)])
def test_wait_that_is_asked_for_is_honoured(asked: float, waited: float) -> None:
    """A wait that the server requests is kept, even beyond the longest wait, up to five minutes."""
    waits = Waits()
    run(
        RetryPolicy(max_wait_seconds=5),
        failing(1, lambda: ThrottledError("slow", retry_after_seconds=asked)),
        waits,
    )
    assert waits.seconds == [waited]


def test_wait_that_is_asked_for_is_a_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wait is not shorter than the jitter if the server requests a shorter wait."""
    monkeypatch.setattr(random, "uniform", lambda _, high: high)
    waits = Waits()
    run(RetryPolicy(), failing(2, lambda: ThrottledError("slow", retry_after_seconds=0.1)), waits)
    assert waits.seconds == [0.5, 1]


def test_stop_ends_the_attempts() -> None:
    """After a request to stop, the failure is raised without a wait."""
    waits = Waits()
    waits.set()
    with pytest.raises(ServiceUnavailableError):
        run(RetryPolicy(), failing(5), waits)
    assert waits.seconds == []
