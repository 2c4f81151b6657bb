from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from botocore.exceptions import SSLError

from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Login, Timeouts
from image_history.aws.machine import fault_of
from image_history.aws.translation import translate
from image_history.errors import (
    ConfigError,
    CredentialsError,
    ServiceUnavailableError,
)
from image_history.extract.accounts import AccountCalls, Bounds
from image_history.extract.retry import RetryPolicy
from image_history.model import Stop
from tests.behaviour.scripted import (
    PAGE,
    Answering,
    Reply,
    Request,
    Scripted,
    error,
    in_turn,
    page_for,
    scripted,
)

ROLE = "arn:aws:iam::111122223333:role/reader"
TIMEOUTS = Timeouts(5, 5)
ASSUMED = Reply(
    body=b"<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIAASSUMED</AccessKeyId>"
    b"<SecretAccessKey>s</SecretAccessKey><SessionToken>assumed-token</SessionToken>"
    b"<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>",
    headers={"Content-Type": "text/xml"},
)
MAKES_A_CLIENT_OF: dict[str, Callable[[], object]] = {
    "SAGEMAKER": lambda: ImageApi(Access(), "us-east-1", timeouts=TIMEOUTS, callers=Callers(1)),
    "STS": lambda: told(Access()),
}
IDENTITY = b"<R><GetCallerIdentityResult><Account>111122223333</Account></GetCallerIdentityResult></R>"
Serve = Callable[[Answering], Scripted]


def sts_error(code: str) -> Reply:
    """An error response of STS."""
    body = f"<ErrorResponse><Error><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"
    return Reply(403, body.encode(), {"Content-Type": "text/xml"})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Starts scripted servers; the environment points to the server that was started last."""
    with ExitStack() as stack:

        def start(answering: Answering) -> Scripted:
            server = stack.enter_context(scripted(answering))
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            return server

        yield start


@pytest.fixture
def profiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AWS's config file with one profile, which has keys and no region."""
    path = tmp_path / "aws-config"
    path.write_text(
        "[profile source]\naws_access_key_id = AKIASOURCE\naws_secret_access_key = s\n", encoding="utf-8"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    return path


def told(access: Access) -> str | None:
    """The account of this access that STS returns at the first attempt."""
    bounds = Bounds(RetryPolicy(attempts=1), TIMEOUTS, Callers(1), Stop())
    identity = AccountCalls(Login(access, "us-east-1"), bounds).identity()
    return None if identity is None else identity.account_id


def listed(access: Access) -> Any:
    """The answer to one call with this access."""
    api = ImageApi(access, "eu-west-1", timeouts=TIMEOUTS, callers=Callers(1))
    return api.call("ListImageVersions", {"ImageName": "base"})


def assuming(request: Request) -> Reply:
    """Answer AssumeRole and ListImageVersions."""
    return page_for(request) if "x-amz-target" in request.headers else ASSUMED


@pytest.mark.parametrize("source", [None, "source"])
def test_role_is_assumed_from_its_source(
    serve: Serve, profiles: Path, monkeypatch: pytest.MonkeyPatch, source: str | None
) -> None:
    """A role with an external id is assumed by one AssumeRole call, signed by the source, in the region."""
    server = serve(assuming)
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    listed(Access(role_arn=ROLE, external_id="tenant-7", source_profile=source))
    assume, list_versions = server.requests
    form = parse_qs(assume.body.decode())
    assert (form["Action"], form["RoleArn"], form["ExternalId"]) == (["AssumeRole"], [ROLE], ["tenant-7"])
    assert form["RoleSessionName"] == ["image-history"]
    key = "AKIASOURCE" if source else "AKIASCRIPTED00000000"
    assert f"Credential={key}/" in assume.headers["authorization"]
    assert "/eu-west-1/sts/" in assume.headers["authorization"]
    assert "Credential=ASIAASSUMED/" in list_versions.headers["authorization"]
    assert list_versions.headers["x-amz-security-token"] == "assumed-token"


def test_role_without_external_id_sends_none(serve: Serve) -> None:
    """An external id that isn't configured isn't sent."""
    server = serve(assuming)
    listed(Access(role_arn=ROLE))
    assert "ExternalId" not in parse_qs(server.requests[0].body.decode())


def test_role_is_assumed_once_for_many_calls(serve: Serve) -> None:
    """Three calls with a role make one AssumeRole call, and all use its credentials."""
    server = serve(assuming)
    api = ImageApi(Access(role_arn=ROLE), "eu-west-1", timeouts=TIMEOUTS, callers=Callers(1))
    for _ in range(3):
        api.call("ListImageVersions", {"ImageName": "base"})
    assume, *lists = server.requests
    assert parse_qs(assume.body.decode())["Action"] == ["AssumeRole"]
    assert [request.headers["x-amz-target"] for request in lists] == ["SageMaker.ListImageVersions"] * 3
    assert all("Credential=ASIAASSUMED/" in request.headers["authorization"] for request in lists)


def test_role_that_may_not_be_assumed_is_a_fault_of_credentials(serve: Serve) -> None:
    """A denied AssumeRole is a CredentialsError after one request, not an error of the image."""
    server = serve(in_turn(sts_error("AccessDenied")))
    with pytest.raises(CredentialsError, match="AccessDenied"):
        listed(Access(role_arn=ROLE))
    assert len(server.requests) == 1


def test_role_without_source_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """If there are no credentials to assume a role with, the error says so."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(CredentialsError, match="Unable to locate credentials"):
        listed(Access(role_arn=ROLE))


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_SAGEMAKER"])
def test_plain_http_is_refused_before_any_request(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    """An endpoint of plain http beyond loopback is refused when the client is made."""
    monkeypatch.setenv(variable, "http://sagemaker.example.com:8080/x")
    with pytest.raises(ConfigError, match=r"The endpoint http://sagemaker.example.com:8080 is plain http"):
        ImageApi(Access(), "us-east-1", timeouts=TIMEOUTS, callers=Callers(1))


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.9.10", "[::1]"])
def test_plain_http_is_allowed_on_loopback(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Plain http is allowed for loopback addresses."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:8080")
    assert ImageApi(Access(), "us-east-1", timeouts=TIMEOUTS, callers=Callers(1)).region == "us-east-1"


@pytest.mark.parametrize("host", ["10.0.0.1", "localhost.example.com", "example.com", "169.254.169.254"])
def test_plain_http_is_refused_elsewhere(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """Plain http is refused for private and link-local addresses, and for names that only begin like loopback."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:8080")
    with pytest.raises(ConfigError, match="is plain http"):
        ImageApi(Access(), "us-east-1", timeouts=TIMEOUTS, callers=Callers(1))


@pytest.mark.parametrize("role", [None, ROLE])
def test_plain_http_is_refused_for_sts(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, role: str | None
) -> None:
    """Plain http is refused for STS too, since its answer may hold credentials, and no request is sent."""
    server = serve(assuming)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", "http://sts.example.com")
    with pytest.raises(ConfigError, match=r"http://sts.example.com is plain http"):
        told(Access(role_arn=role))
    assert server.requests == []


@pytest.mark.parametrize("service", MAKES_A_CLIENT_OF)
def test_endpoint_that_is_no_url(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    """An endpoint that is not a URL is a ConfigError, and the message names the variable."""
    monkeypatch.setenv(f"AWS_ENDPOINT_URL_{service}", "sagemaker")
    with pytest.raises(ConfigError, match=r"Invalid endpoint: sagemaker\. Check AWS_ENDPOINT_URL"):
        MAKES_A_CLIENT_OF[service]()


def expired_until(last: int) -> Answering:
    """Refuse the first requests as expired, then answer."""
    return in_turn(*[error("ExpiredTokenException")] * last, PAGE)


def test_expired_credentials_are_rebuilt_once(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """After ExpiredToken the session is created again, with the current credentials of the environment."""
    server = serve(expired_until(1))
    api = ImageApi(Access(), "us-east-1", timeouts=TIMEOUTS, callers=Callers(1))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIARENEWED")
    assert len(api.call("ListImageVersions", {"ImageName": "base"}).body.ImageVersions) == 1
    assert ["AKIARENEWED" in request.headers["authorization"] for request in server.requests] == [False, True]


def test_credentials_that_stay_expired(serve: Serve) -> None:
    """If the credentials stay expired, the session is created again only once, and the error says to log in again."""
    server = serve(expired_until(9))
    api = ImageApi(Access(), "us-east-1", timeouts=TIMEOUTS, callers=Callers(1))
    for requests in (2, 3):
        with pytest.raises(CredentialsError, match=r"ExpiredTokenException.*log in again"):
            api.call("ListImageVersions", {"ImageName": "base"})
        assert len(server.requests) == requests


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Reply(body=IDENTITY), "111122223333"),
        (sts_error("AccessDenied"), None),
        (Reply(body=b"<html>a captive portal<br></html>"), None),
        (Reply(500, b""), None),
        (b"", None),
    ],
)
def test_account_from_sts(serve: Serve, reply: Reply | bytes, expected: str | None) -> None:
    """STS returns the account; if the call is denied or fails, the account is None, and no error is raised."""
    serve(in_turn(reply))
    assert told(Access()) == expected


def test_account_of_unknown_credentials(serve: Serve) -> None:
    """Credentials that STS doesn't know are an error, not a missing account."""
    serve(in_turn(sts_error("InvalidClientTokenId")))
    with pytest.raises(CredentialsError, match="InvalidClientTokenId"):
        told(Access())


def test_fault_of_tls_may_pass() -> None:
    """A TLS error, unless a certificate is not trusted, is a ServiceUnavailableError, which may be retried."""
    fault = SSLError(endpoint_url="https://aws.example/", error="EOF occurred in violation of protocol")
    assert fault_of(fault, "here", "us-east-1") is None
    assert type(translate(fault, "here")) is ServiceUnavailableError
