"""Rows 1 to 10 of the list of faults: throttling, outages, and connections that break or stall."""

from __future__ import annotations

import logging
import socket
import time
from datetime import timedelta
from typing import Any, NoReturn

import pytest
from aiohttp import web

from image_history.config import Retry, Timeout
from image_history.landing.runs import Landing
from image_history.simulator import Exchange, FaultRule
from tests.faults.trial import LARGE, Trial

LIST = "ListImageVersions"


def reasons(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The logged reasons of failed calls."""
    return [str(vars(record)["reason"]) for record in caplog.records if record.getMessage() == "call_failed"]


def test_row_01_page_that_is_throttled_once(trial: Trial) -> None:
    """A throttled call is repeated after a wait and counted as one retry; no row is lost."""
    trial.spoil(FaultRule(kind="throttling", operation=LIST, image=LARGE, nth=2))
    assert trial.sync().code == 0
    assert trial.figures() == (1, 1, "complete")
    assert trial.injected() == {"throttling": 1}
    assert len(trial.waits.seconds) >= 1
    trial.site.assert_true()
    trial.assert_converges()


def test_row_02_throttling_that_never_ends(trial: Trial) -> None:
    """If throttling does not end, the sync exits with 6 and keeps its pages; the next sync reads only page three."""
    trial.spoil(FaultRule(kind="throttling", operation=LIST, start=6))
    came = trial.sync()
    assert came.code == 6
    assert "ThrottlingException" in came.message
    assert "run sync again" in came.message
    (run,) = Landing(trial.config.landing_folder).runs()
    assert sum(mark.rows for mark in run.checkpoints.values()) == 215
    assert trial.marks() == {}
    trial.site.simulator.faults = ()
    came = trial.sync()
    assert (came.code, trial.site.calls(LIST)) == (0, 1)
    assert trial.figures() == (8, 8, "complete")
    trial.site.assert_true()


def test_row_02_retries_have_a_budget_for_the_run(trial: Trial) -> None:
    """If each call is answered at its seventh attempt, the sync exits with 6 at the failure beyond `retry.budget`."""
    requests: list[str] = []

    async def six_of_seven(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation == "GetCallerIdentity":
            return None
        requests.append(exchange.operation)
        return None if len(requests) % 7 == 0 else web.Response(status=503)

    trial.set(retry=Retry(attempts=8, max_wait=timedelta(milliseconds=1), budget=20))
    trial.site.simulator.fault = six_of_seven
    came = trial.sync()
    trial.site.simulator.fault = None
    assert came.code == 6
    assert "21 attempts failed and 3 were answered (retry.budget)" in came.message
    assert requests == ["ListImages"] * 7 + [LIST] * 17
    trial.assert_converges()


@pytest.mark.parametrize(
    ("row", "kinds"),
    [
        pytest.param(3, ("too_many_requests", "status_429", "status_408", "status_509"), id="row-03"),
        pytest.param(4, ("internal_failure", "bad_gateway", "unavailable", "gateway_timeout"), id="row-04"),
        pytest.param(
            7, ("close", "reset", "half_then_reset", "short_body", "cut_chunk", "garbage"), id="row-07"
        ),
    ],
)
def test_row_03_04_07_failures_of_the_moment(trial: Trial, row: int, kinds: tuple[str, ...]) -> None:
    """Each temporary error and each broken connection costs one more attempt, which is counted once."""
    trial.spoil_in_turn(kinds)
    assert trial.sync().code == 0
    assert trial.injected() == dict.fromkeys(sorted(kinds), 1)
    throttled = 3 if row == 3 else 0
    assert trial.figures() == (len(kinds), throttled, "complete")
    trial.site.assert_true()
    trial.assert_converges()


@pytest.mark.parametrize(("asked", "waited"), [(7, 7), (100_000, 300)])
def test_row_05_wait_that_the_server_asks_for(trial: Trial, asked: float, waited: float) -> None:
    """After a 503 with a wait in its headers, the sync waits as long as the server asks, but at most five minutes."""
    trial.spoil(FaultRule(kind="retry_after", operation=LIST, image=LARGE, nth=1, seconds=asked))
    assert trial.sync().code == 0
    assert max(trial.waits.seconds) == waited
    trial.site.assert_true()


def refuse_name(*_: Any, **__: Any) -> NoReturn:
    """Fails as a resolver does for an unknown name."""
    raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")


@pytest.mark.parametrize("what", ["refused", "dns", "proxy"])
def test_row_06_nobody_there(
    trial: Trial, what: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """If a connection, a name lookup or a proxy fails, calls are retried; then the sync exits with 6."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        closed = f"127.0.0.1:{unused.getsockname()[1]}"
    if what == "dns":
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:8080")
        monkeypatch.setattr(socket, "getaddrinfo", refuse_name)
    elif what == "proxy":
        monkeypatch.setenv("HTTP_PROXY", f"http://{closed}")
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{closed}")
    trial.set(retry=Retry(attempts=3, max_wait=timedelta(milliseconds=1)))
    with caplog.at_level(logging.WARNING, logger="image_history"):
        came = trial.sync()
    assert came.code == 6
    # The calls to STS for the account are retried as often as those to SageMaker for the images.
    assert len(reasons(caplog)) == 2 * 3
    assert "Nothing was read; run sync again later." in came.message
    assert not trial.config.warehouse.exists()
    monkeypatch.undo()


def test_row_08_status_line_and_no_more(begun: Trial) -> None:
    """A success that ends after its status line is malformed, not the end of a list: nothing is deleted."""
    begun.spoil(
        FaultRule(kind="status_line_only", operation=LIST, image=LARGE),
        FaultRule(kind="status_line_only", operation=LIST, image="beta"),
    )
    before = begun.site.stored()
    came = begun.sync(full=True)
    assert (came.code, came.failures) == (4, dict.fromkeys((LARGE, "beta"), "MalformedResponseError"))
    assert begun.site.stored() == before
    begun.assert_unmoved(LARGE)
    begun.assert_unmoved("beta")
    begun.assert_converges()


def test_row_09_silence_before_and_within_an_answer(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """If a server stalls before or within a response, the read timeout ends the call, and it is retried."""
    trial.spoil_in_turn(["stall", "stall_in_body"])
    with caplog.at_level(logging.WARNING, logger="image_history"):
        assert trial.sync().code == 0
    assert [reason for reason in reasons(caplog) if "Read timeout" in reason] == reasons(caplog)
    assert trial.figures() == (2, 0, "complete")
    trial.site.assert_true()


def test_row_10_drip(trial: Trial, caplog: pytest.LogCaptureFixture) -> None:
    """If a response drips so slowly that no read times out, the deadline of the call ends it, and it is retried."""
    quick = Timeout(connect=timedelta(milliseconds=100), read=timedelta(milliseconds=400))
    trial.set(timeout=quick)
    trial.spoil(FaultRule(kind="drip", operation=LIST, image=LARGE, nth=2, seconds=0.05))
    started = time.monotonic()
    with caplog.at_level(logging.WARNING, logger="image_history"):
        assert trial.sync().code == 0
    assert time.monotonic() - started < 20
    assert ["no whole answer within 1.7 s" in reason for reason in reasons(caplog)] == [True]
    assert trial.figures() == (1, 0, "complete")
    trial.site.assert_true()
