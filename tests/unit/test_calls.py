from __future__ import annotations

import logging
from typing import Any

import pytest

from image_history.aws.bodies import Answer
from image_history.errors import (
    AccessDeniedError,
    ImageNotFoundError,
    InterruptedRunError,
    ServiceUnavailableError,
    SourceError,
    ThrottledError,
)
from image_history.extract.calls import Pace, ScopeCalls
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryPolicy
from image_history.model import ListingKind, ListingRequest, Stop
from tests.unit.fakes import FakeSource, answer, image, images_page, in_turn, page, scope_calls, version
from tests.unit.test_retry import Waits


@pytest.mark.parametrize(
    ("kind", "sorting"),
    [
        (ListingKind.FULL, {"SortBy": "VERSION", "SortOrder": "ASCENDING"}),
        (ListingKind.INCREMENTAL, {"SortBy": "LAST_MODIFIED_TIME", "SortOrder": "DESCENDING"}),
    ],
)
@pytest.mark.parametrize("token", [None, "token"])
def test_page_of_versions_is_asked_for_as_planned(
    kind: ListingKind, sorting: dict[str, str], token: str | None
) -> None:
    """Every request of a list has the same members; from the second request on, it also has the token."""
    source = FakeSource(in_turn(page([])))
    scope_calls(source).list_image_versions("Base", ListingRequest(kind, 50, 1000), token)
    expected = {"ImageName": "Base", "MaxResults": 50, **sorting}
    assert source.asked == [
        ("ListImageVersions", expected if token is None else {**expected, "NextToken": token})
    ]


def test_page_of_images_is_asked_for_oldest_first() -> None:
    """Images are requested by creation time, an order that no change disturbs, in pages of a hundred."""
    source = FakeSource(in_turn(images_page([])))
    scope_calls(source).list_images("token")
    expected = {"MaxResults": 100, "SortBy": "CREATION_TIME", "SortOrder": "ASCENDING", "NextToken": "token"}
    assert source.asked == [("ListImages", expected)]


def test_image_is_gone_if_describe_says_so() -> None:
    """Only AWS's "not found" means that the image is gone, at the Date of the answer; any other error is raised."""
    assert scope_calls(FakeSource(in_turn(answer(image("base"))))).image_gone_ms("base") is None
    missing = FakeSource(in_turn(ImageNotFoundError("gone", date_ms=7000)))
    assert scope_calls(missing).image_gone_ms("base") == 7000
    with pytest.raises(AccessDeniedError):
        scope_calls(FakeSource(in_turn(AccessDeniedError("no")))).image_gone_ms("base")


def test_cost_counts_every_request() -> None:
    """The meter counts every request, retry and throttle, and the bytes of answers; reading the meter resets it."""
    down, slow = ServiceUnavailableError("down"), ThrottledError("slow")
    source = FakeSource(in_turn(down, slow, page([version(1)]), images_page([])))
    calls = scope_calls(source, attempts=3, stop=Stop(event=Waits()))
    calls.list_image_versions_with({"ImageName": "base"})
    calls.list_images(None)
    cost = calls.meter.take()
    assert cost.by_operation == {"ListImageVersions": 3, "ListImages": 1}
    assert (cost.retries, cost.throttles, cost.bytes) == (2, 1, 200)
    assert calls.meter.take().total == 0


def test_throttling_slows_its_own_kind_only() -> None:
    """A throttled list call halves the list rate, an answer raises it a little, and the describe rate stays."""
    pace = Pace(lists=Pacer(1e9), describes=Pacer(1e9))
    source = FakeSource(in_turn(ThrottledError("slow"), page([]), answer(image("base"))))
    calls = ScopeCalls(source, policy=RetryPolicy(2), pace=pace, stop=Stop(event=Waits()))
    calls.list_image_versions_with({"ImageName": "base"})
    won_back = pace.lists.factor
    assert 0.5 < won_back < 0.6
    assert pace.describes.factor == 1
    calls.image_gone_ms("base")
    assert pace.lists.factor == won_back


def test_outage_does_not_slow_the_pace() -> None:
    """A call waits between attempts while a server is down, and the pace afterwards is unchanged."""
    pace = Pace(lists=Pacer(1e9), describes=Pacer(1e9))
    source = FakeSource(in_turn(ServiceUnavailableError("down"), page([])))
    calls = ScopeCalls(source, policy=RetryPolicy(2), pace=pace, stop=Stop(event=Waits()))
    calls.list_image_versions_with({"ImageName": "base"})
    assert pace.lists.factor == 1


def test_every_attempt_waits_its_turn() -> None:
    """A retry waits for the pacer like a first call."""
    turns: list[float] = []
    pace = Pace(lists=Pacer(2, clock=lambda: 0.0, sleep=turns.append), describes=Pacer(1e9))
    source = FakeSource(in_turn(ServiceUnavailableError("down"), ServiceUnavailableError("down"), page([])))
    ScopeCalls(source, policy=RetryPolicy(3), pace=pace, stop=Stop(event=Waits())).list_image_versions_with(
        {}
    )
    assert turns == [0.5, 1]


def test_no_call_is_begun_after_a_stop() -> None:
    """After a request to stop, a call raises and sends no request."""
    stop, source = Stop(), FakeSource(in_turn(page([])))
    stop.request(15)
    with pytest.raises(InterruptedRunError, match="SIGTERM") as interrupted:
        scope_calls(source, stop=stop).list_images(None)
    assert (source.asked, interrupted.value.exit_code) == ([], 143)


def test_failed_call_is_logged_without_its_token(caplog: pytest.LogCaptureFixture) -> None:
    """Each failed attempt is logged as one warning, and no log record holds a pagination token."""
    source = FakeSource(in_turn(ServiceUnavailableError("down"), images_page([])))
    with caplog.at_level(logging.DEBUG, logger="image_history"):
        scope_calls(source, attempts=2, stop=Stop(event=Waits())).list_images("secret-token")
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert told == [("WARNING", "call_failed")]
    assert "secret-token" not in str(caplog.records[0].__dict__)


def test_call_that_its_source_makes_again_is_counted() -> None:
    """A request that the source repeats with renewed credentials counts as a request and as a retry."""
    source = FakeSource(in_turn(page([])))
    calls = scope_calls(source)
    source.repeated("ListImageVersions")
    calls.list_images(None)
    cost = calls.meter.take()
    assert cost.by_operation == {"ListImageVersions": 1, "ListImages": 1}
    assert (cost.retries, cost.throttles) == (1, 0)


def test_last_attempt_is_counted_like_the_others() -> None:
    """The last failed attempt of a call counts as a retry and as a throttle, like the others."""
    source = FakeSource(in_turn(ThrottledError("slow")))
    calls = scope_calls(source, attempts=3, stop=Stop(event=Waits()))
    with pytest.raises(ThrottledError):
        calls.list_images(None)
    cost = calls.meter.take()
    assert (cost.total, cost.retries, cost.throttles) == (3, 3, 3)


def budgeted(source: FakeSource, budget: int) -> ScopeCalls:
    """The calls of a scope with a budget of failed attempts."""
    pace = Pace(lists=Pacer(1e9), describes=Pacer(1e9))
    policy = RetryPolicy(attempts=4, budget=budget)
    return ScopeCalls(source, policy=policy, pace=pace, stop=Stop(event=Waits()))


def test_calls_that_fail_too_often_give_the_scope_up() -> None:
    """Beyond the budget, the first failure that outnumbers the answers is fatal; its message names retry.budget."""
    down = ServiceUnavailableError("down.", code="InternalFailure")
    answers: list[Answer[Any] | Exception] = [down, down, down, images_page([])] * 9
    source = FakeSource(in_turn(*answers))
    calls = budgeted(source, 7)
    calls.list_images(None)
    calls.list_images(None)
    with pytest.raises(
        SourceError, match=r"8 attempts failed and 2 were answered \(retry\.budget\)"
    ) as error:
        calls.list_images(None)
    assert len(source.asked) == 10
    assert error.value.exit_code == 6
    assert error.value.context["code"] == "InternalFailure"


def test_calls_that_are_answered_earn_their_budget() -> None:
    """A service that fails every second request does not use up the budget."""
    answers: list[Answer[Any] | Exception] = [images_page([]), ServiceUnavailableError("down")] * 50
    calls = budgeted(FakeSource(in_turn(*answers)), 1)
    for _ in range(50):
        calls.list_images(None)
    assert calls.meter.take().retries == 49
