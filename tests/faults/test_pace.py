"""The pace under throttling, over HTTP and with a fake clock."""

from __future__ import annotations

import pytest

from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.extract.calls import Pace, ScopeCalls
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryPolicy
from image_history.model import Stop
from image_history.simulator import FaultRule
from tests.behaviour.stage import Waits
from tests.faults.trial import LARGE, Trial


class Hours:
    """A clock that advances only when `sleep` is called."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def calls_a_second(calls: ScopeCalls, clock: Hours, count: int) -> float:
    """Make a number of calls; return the requests a second, answered and throttled ones."""
    calls.meter.take()
    began = clock.now
    for _ in range(count):
        calls.list_image_versions_with({"ImageName": LARGE})
    return calls.meter.take().total / (clock.now - began)


def test_pace_halves_when_aws_throttles_and_recovers(trial: Trial) -> None:
    """Each throttle halves the calls a second, down to a sixteenth; successes restore the configured pace."""
    clock = Hours()
    pace = Pace(lists=Pacer(2, clock=lambda: clock.now, sleep=clock.sleep), describes=Pacer(1e9))
    api = ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(1))
    calls = ScopeCalls(api, policy=RetryPolicy(40), pace=pace, stop=Stop(event=Waits()))
    assert calls_a_second(calls, clock, 50) == pytest.approx(2, rel=0.05)
    trial.spoil(FaultRule(kind="throttling", times=1))
    calls_a_second(calls, clock, 1)
    assert calls_a_second(calls, clock, 3) == pytest.approx(1.3, rel=0.1)
    trial.spoil(FaultRule(kind="throttling", times=20))
    slow = calls_a_second(calls, clock, 1)
    assert 2 / 16 <= slow < 0.25
    calls_a_second(calls, clock, 16)
    assert calls_a_second(calls, clock, 50) == pytest.approx(2, rel=0.05)


def test_outage_does_not_change_the_pace(trial: Trial) -> None:
    """Faults other than throttling do not change the calls a second."""
    clock = Hours()
    pace = Pace(lists=Pacer(2, clock=lambda: clock.now, sleep=clock.sleep), describes=Pacer(1e9))
    api = ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(1))
    calls = ScopeCalls(api, policy=RetryPolicy(4), pace=pace, stop=Stop(event=Waits()))
    trial.spoil(FaultRule(kind="unavailable", every=2))
    assert calls_a_second(calls, clock, 40) == pytest.approx(2, rel=0.05)
