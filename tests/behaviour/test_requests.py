"""Our requests are those of an unmodified client of boto3: the same place, headers, body and signature."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import botocore
import pytest
from botocore.awsrequest import AWSResponse, HeadersDict
from botocore.config import Config

from image_history.aws.connections import Reply
from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.aws.sessions import Login, Logins
from image_history.aws.translation import RAISED
from image_history.errors import CredentialsError, TransientError

# A client numbers its attempts for AWS; we make each request ourselves.
OF_ATTEMPTS = {"amz-sdk-invocation-id", "amz-sdk-request"}
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
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


@dataclass(slots=True)
class Wire:
    """Takes requests in place of the network."""

    requests: list[Any] = field(default_factory=list)

    def send(self, request: Any, **_: object) -> AWSResponse:
        """Answer nothing of use."""
        self.requests.append(request)
        return AWSResponse(request.url, 500, {}, _Nothing())


class _Nothing:
    def stream(self) -> Iterator[bytes]:
        """No byte."""
        return iter(())


def told(request: Any) -> tuple[str, str, dict[str, str], bytes]:
    """What goes out."""
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    body = request.body.encode() if isinstance(request.body, str) else request.body
    return (
        request.method,
        request.url,
        {k: v for k, v in headers.items() if k not in OF_ATTEMPTS},
        body or b"",
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def expected(
    session: boto3.Session, service: str, operation: str, region: str, given: Mapping[str, object]
) -> Any:
    """The request of an unmodified client."""
    wire = Wire()
    settings = Config(retries={"total_max_attempts": 1})
    client = session.client(service, region_name=region, config=settings)
    client.meta.events.register("before-send", wire.send)
    with pytest.raises(client.exceptions.ClientError):
        getattr(client, botocore.xform_name(operation))(**given)
    return told(wire.requests[0])


@pytest.mark.parametrize("place", PLACES)
def test_requests_are_those_of_an_unmodified_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    """Each operation goes to the same URL, with the same headers, body and signature, whatever AWS's files say."""
    region, environment, profile = PLACES[place]
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    keys = "aws_access_key_id = AKIAX\naws_secret_access_key = secret\naws_session_token = token/=="
    (tmp_path / "config").write_text(f"[profile mine]\n{keys}\n{profile}\n", encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: NOW.replace(tzinfo=None))
    session = boto3.Session(profile_name="mine")
    login = Login(Access("mine"), region)
    for service, operation, given in ASKED:
        sender = login.sender(service, region, timeouts=Timeouts(), pool=1)
        wire = Wire()
        replace(sender, endpoint=replace(sender.endpoint, way=wire)).send(operation, given)
        method, url, headers, body = expected(session, service, operation, region, given)
        ours = told(wire.requests[0])
        assert ours[:2] == (method, url), operation
        assert ours[3] == body, operation
        assert ours[2].pop("user-agent").startswith("image-history/")
        headers.pop("user-agent")
        assert ours[2] == headers, operation


def test_profiles_that_differ_in_credentials_share_an_endpoint(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An endpoint is made once for all accounts, but not for a profile that has its own."""
    keys = "aws_access_key_id = AKIAX\naws_secret_access_key = x"
    own = "endpoint_url = https://c.example"
    profiles = f"[profile a]\n{keys}1\nregion = us-east-1\n[profile b]\n{keys}2\n[profile c]\n{keys}\n{own}\n"
    (tmp_path / "config").write_text(profiles, encoding="utf-8")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    logins = Logins()
    one, other, third = (
        logins.of(Access(name)).sender("sagemaker", "us-east-1", timeouts=Timeouts(), pool=1)
        for name in "abc"
    )
    assert one.endpoint is other.endpoint
    assert one.credentials.access_key == other.credentials.access_key == "AKIAX"
    assert (one.credentials.secret_key, other.credentials.secret_key) == ("x1", "x2")
    assert third.endpoint.url == "https://c.example/"


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
    """Whatever a credential_process does, an error of ours says whose credentials cannot be had, and no secret."""
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
    service: str, operation: str, body: bytes, status: int
) -> None:
    """Whatever stands in for an answer is read or is told as malformed, never as an error of Python's."""
    endpoint = Login(Access(), "us-east-1").sender(service, "us-east-1", timeouts=Timeouts(), pool=1).endpoint
    reply = Reply(status, HeadersDict({"content-type": "text/html"}), body)
    with suppress(*RAISED):
        if status == 200:
            endpoint.read(operation, reply)
        else:
            raise endpoint.failure(operation, reply)
