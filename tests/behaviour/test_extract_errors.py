from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.errors import (
    AccessDeniedError,
    ConnectorError,
    CredentialsError,
    ImageNotFoundError,
    RequestRejectedError,
    ServiceUnavailableError,
    ThrottledError,
    TransientError,
)
from image_history.model import Stop
from tests.behaviour.scripted import PAGE, Reply, Request, error, scripted
from tests.behaviour.stage import Stage, Waits, staged, unpaced_calls

THROTTLED = [
    "ThrottlingException",
    "Throttling",
    "ThrottledException",
    "RequestThrottledException",
    "RequestThrottled",
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "SlowDown",
    "BandwidthLimitExceeded",
    "LimitExceededException",
    "ProvisionedThroughputExceededException",
    "PriorRequestNotComplete",
    "TransactionInProgressException",
    "EC2ThrottledException",
]
UNAVAILABLE = [
    "RequestTimeout",
    "RequestTimeoutException",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "ServiceUnavailable",
    "ServiceUnavailableException",
]
CREDENTIALS = [
    "UnrecognizedClientException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "MissingAuthenticationToken",
    "RequestExpired",
    "RequestTimeTooSkewed",
]
DENIED = ["AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired"]
REJECTED = [
    "ValidationException",
    "ResourceInUse",
    "ResourceLimitExceeded",
    "UnknownOperationException",
    "SomethingNew",
]
# Codes in no table of the connector: with a 4xx status they are refusals, with a 5xx status outages.
UNLISTED = ["ResourceInUse", "ResourceLimitExceeded", "UnknownOperationException", "SomethingNew"]
MEANING: dict[str, type[ConnectorError]] = {
    **dict.fromkeys(THROTTLED, ThrottledError),
    **dict.fromkeys(UNAVAILABLE, ServiceUnavailableError),
    **dict.fromkeys(CREDENTIALS, CredentialsError),
    **dict.fromkeys(DENIED, AccessDeniedError),
    **dict.fromkeys(REJECTED, RequestRejectedError),
    "ResourceNotFound": ImageNotFoundError,
}
STATUSES: dict[int, type[ConnectorError]] = {
    **dict.fromkeys((429, 509), ThrottledError),
    **dict.fromkeys((408, 425, 500, 502, 503, 504, 507, 520, 599), ServiceUnavailableError),
    **dict.fromkeys((401, 403), AccessDeniedError),
    **dict.fromkeys((301, 302, 307, 400, 404, 405, 413, 501, 505), RequestRejectedError),
}
BODIES = {
    "empty": b"",
    "html": b"<html><body>Bad gateway</body></html>",
    "latin": b"<h1>D\xe9sol\xe9</h1>",
    "list": b"[]",
    "null": b"null",
    "nan": b"NaN",
    "text": b'"busy"',
    "object": b"{}",
    "odd-types": b'{"__type": 5, "message": [1]}',
    "cut": b'{"__type": "Throt',
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One server and one client, whose environment sets seven attempts for botocore's own retries."""
    with staged(AWS_MAX_ATTEMPTS="7", AWS_RETRY_MODE="legacy") as stage:
        yield stage


def refusal(stage: Stage, reply: Reply | bytes) -> ConnectorError:
    """The error of one call, which must have made one request."""
    stage.play(reply)
    with pytest.raises(ConnectorError) as refused:
        stage.call()
    assert len(stage.server.requests) == 1
    return refused.value


@pytest.mark.parametrize("status", [400, 403, 500])
def test_code_means_the_same_with_any_status(stage: Stage, status: int) -> None:
    """A known error code decides the error, whatever the status, and the call makes one request."""
    known = MEANING if status == 400 else {code: MEANING[code] for code in MEANING if code not in UNLISTED}
    assert {code: type(refusal(stage, error(code, status))) for code in known} == known


@pytest.mark.parametrize("form", ["com.amazon.coral.service#{}", "{}:http://internal.amazon.com/", "ns#{}:x"])
def test_code_in_every_form(stage: Stage, form: str) -> None:
    """A namespace before an error code and an address after it do not change the error."""
    assert type(refusal(stage, error(form.format("ThrottlingException")))) is ThrottledError


@pytest.mark.parametrize("status", STATUSES)
def test_status_decides_without_a_known_code(stage: Stage, status: int) -> None:
    """Without an error code, or with an unknown one, the status decides the error, and the call makes one request."""
    assert type(refusal(stage, Reply(status, b""))) is STATUSES[status]
    assert type(refusal(stage, error("SomethingNew", status))) is STATUSES[status]


@pytest.mark.parametrize("name", BODIES)
def test_body_of_an_error_may_be_anything(stage: Stage, name: str) -> None:
    """A 502, as of a proxy, is a ServiceUnavailableError, whatever its body is."""
    found = refusal(stage, Reply(502, BODIES[name]))
    assert type(found) is ServiceUnavailableError
    assert found.message.endswith(".")


@pytest.mark.parametrize("capital", [False, True])
def test_message_is_told_with_its_place(stage: Stage, capital: bool) -> None:
    """The message names the operation, the image, the credentials, the region, and AWS's answer."""
    member = b'"Message"' if capital else b'"message"'
    reply = error("ValidationException")
    found = refusal(stage, Reply(400, reply.body.replace(b'"message"', member)))
    assert found.message == (
        "ListImageVersions of image base with the default credentials in us-east-1 failed: "
        "ValidationException: said by the script (HTTP 400)."
    )
    assert found.context["code"] == "ValidationException"


def test_clock_that_is_wrong_is_told(stage: Stage) -> None:
    """If a signature is refused and AWS's Date differs by 20 minutes, the message says that the clock is wrong."""
    ahead = format_datetime(datetime.now(UTC) - timedelta(minutes=20), usegmt=True)
    found = refusal(stage, error("RequestExpired", Date=ahead))
    assert "This machine's clock is 20 minutes ahead of AWS's: set it." in found.message


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 23 Nov 2026 12:00:00 -0000"])
def test_clock_fault_beside_a_useless_date(stage: Stage, date: str) -> None:
    """If a signature is refused and the Date is unusable, the error is still a CredentialsError."""
    assert type(refusal(stage, error("InvalidSignatureException", Date=date))) is CredentialsError


BROKEN: dict[str, Reply | bytes] = {
    "closed": b"",
    "garbage": b"I am no HTTP\r\n\r\n",
    "reset": Reply(body=PAGE.body, length=9999, reset=True),
    "cut-chunk": b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-amzn-RequestId: r\r\n\r\n50\r\n{"Ima',
    "short-error": Reply(500, b"{}", length=99),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_connection_may_be_tried_again(stage: Stage, name: str) -> None:
    """A connection that breaks before or during an answer is a TransientError, and a retry succeeds."""
    assert isinstance(refusal(stage, BROKEN[name]), TransientError)
    stage.play(BROKEN[name], PAGE)
    assert (
        len(unpaced_calls(stage.api).list_image_versions_with({"ImageName": "base"}).body.ImageVersions) == 1
    )
    assert len(stage.server.requests) == 2


def test_refused_connection_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused connection is a ServiceUnavailableError."""
    with socket.socket() as closed, scripted(lambda _: PAGE) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        api = ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(1))
        with pytest.raises(ServiceUnavailableError, match="Could not connect"):
            api.call("ListImageVersions", {"ImageName": "base"})


def test_silent_server_may_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """If the server sends no answer, the call fails after the read timeout."""
    over = threading.Event()

    def silent(_: Request) -> Reply:
        over.wait(10)
        return PAGE

    with scripted(silent) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        api = ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 0.05), callers=Callers(1))
        with pytest.raises(ServiceUnavailableError, match="Read timeout"):
            api.call("ListImageVersions", {"ImageName": "base"})
        over.set()


def in_an_hour() -> str:
    """An HTTP date, four minutes from now."""
    return format_datetime(datetime.now(UTC) + timedelta(minutes=4), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "bounds"),
    [
        ({"Retry-After": "7"}, (7, 7)),
        ({"x-amz-retry-after": "7000"}, (7, 7)),
        ({"Retry-After": "3", "x-amz-retry-after": "9000"}, (9, 9)),
        ({"Retry-After": "FUTURE"}, (235, 240)),
        ({"Retry-After": "Mon, 23 Nov 2020 12:00:00 GMT"}, (0, 0.5)),
        ({"Retry-After": "Mon, 23 Nov 2020 12:00:00 -0000"}, (0, 0.5)),
        ({"Retry-After": "100000"}, (300, 300)),
        ({"Retry-After": "soon"}, (0, 0.5)),
        ({"Retry-After": "-5"}, (0, 0.5)),
        ({"x-amz-retry-after": "nan"}, (0, 0.5)),
        ({}, (0, 0.5)),
    ],
)
@pytest.mark.parametrize(("code", "status"), [("ServiceUnavailable", 503), ("ThrottlingException", 400)])
def test_wait_that_the_server_asks_for(
    stage: Stage, headers: dict[str, str], bounds: tuple[float, float], code: str, status: int
) -> None:
    """A retry waits as Retry-After (seconds or a date) or x-amz-retry-after (milliseconds) says, up to 300 s."""
    headers = {name: value.replace("FUTURE", in_an_hour()) for name, value in headers.items()}
    stage.play(Reply(status, error(code).body, headers), PAGE)
    waits = Waits()
    unpaced_calls(stage.api, stop=Stop(event=waits)).list_image_versions_with({"ImageName": "base"})
    (seconds,) = waits.seconds
    assert bounds[0] <= seconds <= bounds[1]


def test_attempts_are_the_only_requests(stage: Stage) -> None:
    """Four attempts make four requests: botocore adds none, whatever the environment sets."""
    stage.play(error("ThrottlingException"))
    calls = unpaced_calls(stage.api, attempts=4)
    with pytest.raises(ThrottledError):
        calls.list_image_versions_with({"ImageName": "base"})
    assert len(stage.server.requests) == 4
    cost = calls.meter.take()
    assert (cost.by_operation, cost.throttles) == ({"ListImageVersions": 4}, 4)


@pytest.mark.parametrize("code", [*CREDENTIALS, *DENIED, *REJECTED, "ResourceNotFound"])
def test_permanent_error_is_one_request(stage: Stage, code: str) -> None:
    """A permanent error is not retried."""
    stage.play(error(code))
    with pytest.raises(MEANING[code]):
        unpaced_calls(stage.api).list_image_versions_with({"ImageName": "base"})
    assert len(stage.server.requests) == 1


def test_dripping_server_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """If a server sends a byte now and then, which exceeds no read timeout, the call fails after `call_seconds`."""
    over = threading.Event()

    def dripping(_: Request) -> Iterator[bytes]:
        yield Reply(body=b"", length=1_000_000).raw()
        while not over.wait(0.01):
            yield b" "

    with scripted(dripping) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        timeouts = Timeouts(5, 30, call_seconds=0.1)
        api = ImageApi(Access(), "us-east-1", timeouts=timeouts, callers=Callers(1))
        with pytest.raises(ServiceUnavailableError, match=r"no whole answer within 0\.1 s"):
            api.call("ListImageVersions", {"ImageName": "base"})
        over.set()
