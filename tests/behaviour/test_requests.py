"""Our requests are those of an unmodified boto3 client: the same URL, headers and body, signed in the same way."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore.config import Config
from botocore.exceptions import EndpointConnectionError
from botocore.httpsession import URLLib3Session

from image_history.aws.caller import Caller
from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.aws.sessions import Login
from image_history.errors import ConnectorError, CredentialsError, ServiceUnavailableError, TransientError
from tests.behaviour.scripted import Reply, in_turn, scripted

# boto3 adds headers that count its attempts; our requests have no such attempts. The two requests are signed at
# different times, so their signatures differ; tests/loopback verifies signatures.
OF_ATTEMPTS = {"amz-sdk-invocation-id", "amz-sdk-request", "x-amz-date"}
ENDED = json.dumps(
    {
        "Version": 1,
        "AccessKeyId": "A",
        "SecretAccessKey": "hidden",
        "SessionToken": "hidden",
        "Expiration": "2020-01-01T00:00:00Z",
    }
)
VERSIONS = {
    "ImageName": "base-Image.1",
    "MaxResults": 100,
    "SortBy": "LAST_MODIFIED_TIME",
    "SortOrder": "DESCENDING",
    "CreationTimeAfter": datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC),
    "NextToken": 'o/p=+"é',
}
ASKED: tuple[tuple[str, str, Mapping[str, object]], ...] = (
    ("sagemaker", "ListImages", {"MaxResults": 100, "SortBy": "CREATION_TIME", "SortOrder": "ASCENDING"}),
    ("sagemaker", "ListImageVersions", VERSIONS),
    ("sagemaker", "DescribeImage", {"ImageName": "base"}),
    ("sagemaker", "DescribeImageVersion", {"ImageName": "base", "Version": 3}),
    ("sagemaker", "ListAliases", {"ImageName": "base", "Version": 3, "MaxResults": 100, "NextToken": "t"}),
    ("sts", "GetCallerIdentity", {}),
    ("account", "ListRegions", {"RegionOptStatusContains": ["ENABLED"], "NextToken": "t"}),
    ("ec2", "DescribeRegions", {}),
    ("organizations", "ListAccounts", {"NextToken": "t"}),
    ("organizations", "ListAccountsForParent", {"ParentId": "ou-abcd-12345678"}),
    ("organizations", "ListOrganizationalUnitsForParent", {"ParentId": "r-abcd"}),
)
SERVICES = "[services own]\nsagemaker =\n  endpoint_url = https://sm.example"
PLACES: Mapping[str, tuple[str, Mapping[str, str], str]] = {
    "commercial": ("eu-west-1", {}, ""),
    "china": ("cn-north-1", {}, ""),
    "government": ("us-gov-west-1", {}, ""),
    "fips": ("us-east-1", {"AWS_USE_FIPS_ENDPOINT": "true"}, ""),
    "dual stack": ("us-west-2", {}, "use_dualstack_endpoint = true"),
    "everything elsewhere": ("us-east-1", {"AWS_ENDPOINT_URL": "https://gate.example:8443/aws"}, ""),
    "a path with a query": ("us-east-1", {"AWS_ENDPOINT_URL": "https://gate.example/x?b=2&a=1"}, ""),
    "one service elsewhere": ("us-east-1", {}, f"services = own\n{SERVICES}"),
}


def told(request: Any) -> tuple[str, str, dict[str, str], bytes]:
    """Method, URL, headers and body of a request, without what belongs to a single attempt."""
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    body = request.body.encode() if isinstance(request.body, str) else request.body
    kept = {name: value for name, value in headers.items() if name not in OF_ATTEMPTS}
    return request.method, request.url, kept, body or b""


def _text(value: object) -> str:
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.partition("Signature=")[0]


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The requests of every client, which are collected instead of sent."""
    sent: list[Any] = []

    def send(_: URLLib3Session, request: Any) -> None:
        sent.append(request)
        raise EndpointConnectionError(endpoint_url=request.url)

    monkeypatch.setattr(URLLib3Session, "send", send)
    return sent


@pytest.mark.parametrize("place", PLACES)
def test_requests_are_those_of_an_unmodified_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, wire: list[Any], place: str
) -> None:
    """Each operation has the same URL, headers and body as boto3's, whatever AWS's configuration files say."""
    region, environment, profile = PLACES[place]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    keys = "aws_access_key_id = AKIAX\naws_secret_access_key = secret\naws_session_token = token/=="
    (tmp_path / "config").write_text(f"[profile mine]\n{keys}\n{profile}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    session = boto3.Session(profile_name="mine")
    login = Login(Access("mine"), region)
    for service, operation, given in ASKED:
        caller = Caller(login, service, region, timeouts=Timeouts(), callers=Callers(1))
        with pytest.raises(ServiceUnavailableError):
            caller.call(operation, given, lambda body, _: body, "here")
        client = session.client(service, region_name=region, config=Config(retries={"total_max_attempts": 1}))
        with pytest.raises(EndpointConnectionError):
            getattr(client, botocore.xform_name(operation))(**given)
        ours, theirs = map(told, wire)
        wire.clear()
        assert (*ours[:2], ours[3]) == (*theirs[:2], theirs[3]), operation
        assert ours[2].pop("user-agent").startswith("image-history/")
        theirs[2].pop("user-agent")
        assert ours[2] == theirs[2], operation


def test_name_of_an_application_appears(monkeypatch: pytest.MonkeyPatch, wire: list[Any]) -> None:
    """The User-Agent, which CloudTrail records, has the value of AWS_SDK_UA_APP_ID."""
    monkeypatch.setenv("AWS_SDK_UA_APP_ID", "inventory")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "x")
    api = ImageApi(Access(), "us-east-1", timeouts=Timeouts(), callers=Callers(1))
    with pytest.raises(ServiceUnavailableError):
        api.call("ListImages", {})
    assert "app/inventory" in told(wire[0])[2]["user-agent"].split()


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("/nowhere/to/be/found", "No such file"),
        ("echo none", "Expecting value"),
        (f"echo '{ENDED}'", "expired"),
    ],
    ids=["no program", "no JSON", "always expired"],
)
def test_broken_source_of_credentials_concerns_its_account_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, told: str
) -> None:
    """If a credential_process fails, our error names the profile that needs the credentials, and no secret."""
    (tmp_path / "config").write_text(f"[profile mine]\ncredential_process = {program}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    with pytest.raises((CredentialsError, TransientError), match=told) as raised:
        ImageApi(Access("mine"), "us-east-1", timeouts=Timeouts(), callers=Callers(1)).call("ListImages", {})
    assert "mine" in str(raised.value)
    assert "hidden" not in str(raised.value)


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize(
    "body", [b"<html/>", b"[]", b'"x"', b"null", b'{"Regions": 5, "__type": 5}', b"", b"{"]
)
@pytest.mark.parametrize(
    ("service", "operation"),
    [("sts", "GetCallerIdentity"), ("account", "ListRegions"), ("organizations", "ListAccounts")],
)
def test_answer_of_a_proxy_is_no_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch, service: str, operation: str, body: bytes, status: int
) -> None:
    """A proxy's answer is decoded or raises a ConnectorError, but never another exception."""
    with scripted(in_turn(Reply(status, body, {"Content-Type": "text/html"}))) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        login = Login(Access(), "us-east-1")
        caller = Caller(login, service, "us-east-1", timeouts=Timeouts(), callers=Callers(1))
        with suppress(ConnectorError):
            caller.call(operation, {}, lambda body, _: body, "here")
        assert len(server.requests) == 1
