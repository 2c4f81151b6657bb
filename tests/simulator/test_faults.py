"""Faults by rule: what each kind does to a response, which requests it hits, and how rules are given."""

from __future__ import annotations

import http.client
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from email.message import Message
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pytest

from image_history.errors import ConfigError
from image_history.simulator import KINDS, FaultRule, Simulator, World, parse_faults, read_faults, storm

Serve = Callable[..., Simulator]
Admin = Callable[..., Any]
# Kinds after which a client gets no complete response; then the check of each kind that damages a response.
BROKEN = {
    "close",
    "reset",
    "half_then_reset",
    "short_body",
    "cut_chunk",
    "garbage",
    "status_line_only",
    "stall",
    "stall_in_body",
    "drip",
}
ANSWERED = sorted(set(KINDS) - BROKEN)
SHAPES: dict[str, Callable[[Any], bool]] = {
    "null_list": lambda page: page["ImageVersions"] is None,
    "object_list": lambda page: page["ImageVersions"] == {},
    "null_item": lambda page: page["ImageVersions"][-1] is None,
    "missing_member": lambda page: "LastModifiedTime" not in page["ImageVersions"][0],
    "version_text": lambda page: page["ImageVersions"][0]["Version"] == "7",
    "version_fraction": lambda page: page["ImageVersions"][0]["Version"] == 1.5,
    "version_huge": lambda page: page["ImageVersions"][0]["Version"] == 2**40,
    "time_milliseconds": lambda page: page["ImageVersions"][0]["CreationTime"] > 10**12,
    "time_true": lambda page: page["ImageVersions"][0]["CreationTime"] is True,
    "time_infinity": lambda page: page["ImageVersions"][0]["CreationTime"] == float("inf"),
    "time_nan": lambda page: (
        page["ImageVersions"][0]["CreationTime"] != page["ImageVersions"][0]["CreationTime"]
    ),
    "arn_bit_flip": lambda page: page["ImageVersions"][0]["ImageVersionArn"].endswith("/case/1"),
    "token_too_long": lambda page: len(page["NextToken"]) == 8193,
    "token_none": lambda page: page["NextToken"] == "None",
    "unknown_status": lambda page: page["ImageVersions"][0]["ImageVersionStatus"] == "ARCHIVED",
    "unknown_member": lambda page: "ArchivedBy" in page["ImageVersions"][0],
    "rows_omitted": lambda page: [row["Version"] for row in page["ImageVersions"]] == [1],
    "future_time": lambda page: (
        page["ImageVersions"][0]["LastModifiedTime"] > page["ImageVersions"][1]["LastModifiedTime"]
    ),
    "past_time": lambda page: (
        page["ImageVersions"][1]["LastModifiedTime"] < page["ImageVersions"][0]["LastModifiedTime"]
    ),
    "empty_object": lambda page: page == {},
    "list_body": lambda page: page == [],
    "null_body": lambda page: page is None,
}
# What each kind changes in a page.
PLACES = {
    "null_list": "$.ImageVersions",
    "object_list": "$.ImageVersions",
    "null_item": "$.ImageVersions[2]",
    "missing_member": "$.ImageVersions[0].LastModifiedTime",
    "version_text": "$.ImageVersions[0].Version",
    "version_fraction": "$.ImageVersions[0].Version",
    "version_huge": "$.ImageVersions[0].Version",
    "time_milliseconds": "$.ImageVersions[0].CreationTime",
    "time_true": "$.ImageVersions[0].CreationTime",
    "time_infinity": "$.ImageVersions[0].CreationTime",
    "time_nan": "$.ImageVersions[0].CreationTime",
    "arn_bit_flip": "$.ImageVersions[0].ImageVersionArn",
    "token_too_long": "$.NextToken",
    "token_none": "$.NextToken",
    "unknown_status": "$.ImageVersions[0].ImageVersionStatus",
    "unknown_member": "$.ImageVersions[0].ArchivedBy",
    "rows_omitted": "$.ImageVersions[1]",
    "future_time": "$.ImageVersions[0].LastModifiedTime",
    "past_time": "$.ImageVersions[1].LastModifiedTime",
    "empty_object": "$",
    "list_body": "$",
    "null_body": "$",
}
CODES = {
    "throttling": (400, "ThrottlingException"),
    "too_many_requests": (400, "TooManyRequestsException"),
    "status_429": (429, None),
    "status_408": (408, None),
    "status_509": (509, None),
    "internal_failure": (500, "InternalFailure"),
    "bad_gateway": (502, None),
    "unavailable": (503, None),
    "retry_after": (503, None),
    "gateway_timeout": (504, None),
    "token_expired": (400, "ValidationException"),
    "expired_credentials": (400, "ExpiredTokenException"),
    "unknown_credentials": (400, "UnrecognizedClientException"),
    "request_expired": (400, "RequestExpired"),
    "access_denied": (400, "AccessDeniedException"),
}


@dataclass(frozen=True, slots=True)
class Got:
    """A response."""

    status: int
    headers: Message
    body: bytes


def ask(simulator: Simulator, operation: str = "ListImageVersions", **members: object) -> Got:
    """Send a request over a connection of its own; return its complete response."""
    key = simulator.environment()["AWS_ACCESS_KEY_ID"]
    connection = http.client.HTTPConnection("127.0.0.1", simulator.port, timeout=0.3)
    parameters: dict[str, object] = {
        "ImageName": "base",
        "MaxResults": 2,
        "SortBy": "VERSION",
        "SortOrder": "ASCENDING",
        **members,
    }
    asked = {name: value for name, value in parameters.items() if value is not None}
    headers = {
        "X-Amz-Target": f"SageMaker.{operation}",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/sagemaker/aws4_request, x",
    }
    with closing(connection):
        connection.request("POST", "/", json.dumps(asked), headers)
        response = connection.getresponse()
        with response:
            return Got(response.status, response.headers, response.read())


def page(simulator: Simulator, **members: object) -> Any:
    """Request a page, and decode it."""
    return json.loads(ask(simulator, **members).body)  # type: ignore[arg-type]  # members of a request


@pytest.mark.parametrize("kind", sorted(BROKEN))
def test_connection_is_broken(world: World, serve: Serve, kind: str) -> None:
    """With a broken connection, Python's client gets no complete response; the next request gets one."""
    simulator = serve(world)
    simulator.faults = [FaultRule(kind=kind, nth=1)]
    if kind == "status_line_only":
        assert ask(simulator).body == b""
    else:
        with pytest.raises((http.client.HTTPException, OSError)):
            ask(simulator)
    assert len(page(simulator)["ImageVersions"]) == 2
    assert simulator.counters.injected(kind) == 1


@pytest.mark.parametrize("kind", ["stall", "stall_in_body", "drip"])
def test_slow_answer_is_whole_for_the_patient(world: World, serve: Serve, kind: str) -> None:
    """A slow response is complete and right if the client waits."""
    simulator = serve(world)
    simulator.faults = [FaultRule(kind=kind, seconds=0.0001)]
    assert [row["Version"] for row in page(simulator)["ImageVersions"]] == [1, 2]


def differences(before: object, after: object, place: str = "$") -> Iterator[str]:
    """The places at which two documents differ; a document that is empty or of another type differs as a whole."""
    if isinstance(before, dict) and isinstance(after, dict) and after:
        for name in before.keys() | after.keys():
            yield from differences(before.get(name, ...), after.get(name, ...), f"{place}.{name}")
    elif isinstance(before, list) and isinstance(after, list) and after:
        for number, pair in enumerate(zip_longest(before, after, fillvalue=...)):
            yield from differences(*pair, f"{place}[{number}]")
    elif before != after or type(before) is not type(after):
        yield place


def document(simulator: Simulator, response: Got) -> object:
    """The document of a response, with one word in place of each token that the simulator takes."""
    told = json.loads(response.body)
    if isinstance(told, dict) and "NextToken" in told:
        simulator.faults = []
        taken = ask(simulator, NextToken=told["NextToken"]).status == 200
        told["NextToken"] = "taken" if taken else told["NextToken"]
    return told


def headers_of(response: Got) -> dict[str, str]:
    """The headers that are not of one response alone."""
    own = {"content-length", "x-amzn-requestid"}
    return {name.lower(): text for name, text in response.headers.items() if name.lower() not in own}


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_answer_is_damaged(world: World, serve: Serve, kind: str) -> None:
    """The response is a success with the damage of its kind, and nothing else of it is changed."""
    simulator = serve(world)
    whole = ask(simulator)
    assert [*differences(document(simulator, whole), document(simulator, ask(simulator)))] == []
    simulator.faults = [FaultRule(kind=kind)]
    response = ask(simulator)
    assert response.status == 200
    assert SHAPES[kind](json.loads(response.body))
    found = differences(document(simulator, whole), document(simulator, response))
    assert [*found] == [PLACES[kind]]
    assert headers_of(response) == headers_of(whole)
    assert int(response.headers["Content-Length"]) == len(response.body)


@pytest.mark.parametrize("kind", sorted(CODES))
def test_request_is_refused(world: World, serve: Serve, kind: str) -> None:
    """The response is an error with the status of its kind, and with a code if AWS gives one."""
    simulator = serve(world)
    token = page(simulator)["NextToken"]
    simulator.faults = [FaultRule(kind=kind)]
    response = ask(simulator, NextToken=token)
    status, code = CODES[kind]
    assert response.status == status
    body = response.body
    assert (json.loads(body)["__type"] if code else None) == code


def test_every_kind_is_shown() -> None:
    """This module has a test for every kind."""
    own = {"html", "cut_json", "empty_body", "no_request_id", "invalid_utf8", "same_token", "token_cycle"}
    assert set(KINDS) == BROKEN | set(SHAPES) | set(CODES) | own | {"date_skew", "list_lag"}


def test_bodies_that_are_no_json(world: World, serve: Serve) -> None:
    """The bodies of a captive portal, half a body, an empty body and one with invalid UTF-8 are no JSON."""
    simulator = serve(world)
    bodies = {}
    for kind in ("html", "cut_json", "empty_body", "invalid_utf8"):
        simulator.faults = [FaultRule(kind=kind)]
        response = ask(simulator)
        bodies[kind] = response.body
        assert (response.status, response.headers["Content-Length"]) == (200, str(len(bodies[kind])))
        with pytest.raises(ValueError):  # noqa: PT011 - of json and of UTF-8
            json.loads(bodies[kind].decode())
    assert bodies["html"].startswith(b"<html>")
    assert bodies["empty_body"] == b""


def test_headers_are_damaged(world: World, serve: Serve) -> None:
    """Faults remove the request id, change the Date by a week, and add both headers that ask for a wait."""
    simulator = serve(world)
    date = ask(simulator).headers["Date"]
    simulator.faults = [FaultRule(kind="no_request_id")]
    assert "x-amzn-RequestId" not in ask(simulator).headers
    simulator.faults = [FaultRule(kind="date_skew", seconds=86_400 * 7)]
    assert ask(simulator).headers["Date"][:16] != date[:16]
    simulator.faults = [FaultRule(kind="retry_after", seconds=2.5)]
    headers = ask(simulator).headers
    assert (headers["Retry-After"], headers["x-amz-retry-after"]) == ("3", "2500")


def test_tokens_go_in_circles(world: World, serve: Serve) -> None:
    """`same_token` returns the same token again, and `token_cycle` returns the first two tokens in turn."""
    simulator = serve(world)
    first = page(simulator, MaxResults=1)["NextToken"]
    simulator.faults = [FaultRule(kind="same_token")]
    assert page(simulator, MaxResults=1, NextToken=first)["NextToken"] == first
    simulator.faults = [FaultRule(kind="token_cycle")]
    tokens: list[str | None] = [None]
    for _ in range(7):
        tokens.append(page(simulator, MaxResults=1, NextToken=tokens[-1])["NextToken"])
    assert tokens[1:] == [tokens[1], tokens[2]] * 3 + [tokens[1]]
    assert simulator.counters.injected("token_cycle") == 5


def test_list_lags_behind(world: World, serve: Serve) -> None:
    """A list that lags shows versions that have been deleted since, and lacks versions that were created since."""
    simulator = serve(world)
    world.clock.advance(60_000)
    world.delete_version("base", 1)
    world.create_version("base")
    simulator.faults = [FaultRule(kind="list_lag", seconds=10)]
    assert [row["Version"] for row in page(simulator, MaxResults=9)["ImageVersions"]] == [1, 2, 3, 4, 5]
    simulator.faults = []
    assert [row["Version"] for row in page(simulator, MaxResults=9)["ImageVersions"]] == [2, 3, 4, 5, 6]


def test_rules_choose_exchanges(world: World, serve: Serve) -> None:
    """A rule hits the n-th request, all from the n-th, every k-th, or a few, of its operation, image and scope."""
    world.create_image("other")
    simulator = serve(world)

    def pattern(rule: FaultRule, name: str = "base") -> str:
        simulator.faults = [rule]
        return "".join("x" if ask(simulator, ImageName=name).status == 503 else "." for _ in range(6))

    assert pattern(FaultRule(kind="unavailable", nth=2)) == ".x...."
    assert pattern(FaultRule(kind="unavailable", start=4)) == "...xxx"
    assert pattern(FaultRule(kind="unavailable", every=3)) == "..x..x"
    assert pattern(FaultRule(kind="unavailable", times=2)) == "xx...."
    assert pattern(FaultRule(kind="unavailable", image="base"), "other") == "......"
    assert pattern(FaultRule(kind="unavailable", operation="ListImages")) == "......"
    assert pattern(FaultRule(kind="unavailable", region="us-east-1")) == "xxxxxx"
    assert pattern(FaultRule(kind="unavailable", account_id="999988887777")) == "......"


def test_rate_is_replayed_by_its_seed(world: World, serve: Serve) -> None:
    """Rules with the same seed hit the same requests."""
    simulator = serve(world)

    def pattern(seed: int) -> list[int]:
        simulator.faults = [FaultRule(kind="unavailable", rate=0.5, seed=seed)]
        return [ask(simulator).status for _ in range(20)]

    assert pattern(3) == pattern(3) != pattern(4)


def test_storm_spoils_as_many_as_it_says(world: World, serve: Serve) -> None:
    """A storm hits about the given share of requests, and has a rule for every kind."""
    simulator = serve(world)
    rules = storm(0.3, 5, ["unavailable", "status_429", "status_408"])
    simulator.faults = rules
    spoiled = sum(ask(simulator).status != 200 for _ in range(300))
    assert spoiled == simulator.counters.injected()
    assert 60 <= spoiled <= 120
    assert {rule.kind for rule in storm(0.05, 1)} == set(KINDS)


def test_sts_is_spared_unless_it_is_meant(world: World, serve: Serve) -> None:
    """A rule without an operation hits only SageMaker, not STS."""
    simulator = serve(world)
    key = simulator.environment()["AWS_ACCESS_KEY_ID"]
    credential = f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/sts/aws4_request, x"
    request = urllib.request.Request(
        simulator.url, b"Action=GetCallerIdentity&Version=2011-06-15", {"Authorization": credential}
    )
    simulator.faults = [FaultRule(kind="close")]
    with urllib.request.urlopen(request, timeout=5) as answer:
        assert answer.status == 200
    simulator.faults = [FaultRule(kind="close", operation="GetCallerIdentity")]
    with pytest.raises(http.client.HTTPException):
        urllib.request.urlopen(request, timeout=5)


def test_faults_over_http(world: World, serve: Serve, admin: Admin) -> None:
    """The admin interface sets rules, returns them with their counts, and removes them."""
    simulator = serve(world)
    rules = [{"kind": "unavailable", "operation": "ListImageVersions", "from": 2}]
    assert admin(simulator, "faults", rules, "PUT") == {"rules": rules, "injected": {}}
    assert [ask(simulator).status for _ in range(3)] == [200, 503, 503]
    assert admin(simulator, "faults")["injected"] == {"unavailable": 2}
    assert admin(simulator, "counters")["injected"] == {"unavailable": 2}
    assert admin(simulator, "faults", [], "PUT")["rules"] == []
    assert ask(simulator).status == 200
    assert "there is no fault 'fire'" in admin(simulator, "faults", [{"kind": "fire"}], "PUT")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[{"kind": "fire"}]', "there is no fault 'fire'; the faults are access_denied"),
        ('[{"kind": "close", "nth": 1, "rate": 0.5}]', "at most one of nth, from, every and rate"),
        ('[{"kind": "close", "nth": 0}]', ">= 1"),
        ('[{"kind": "close", "rate": 2}]', "<= 1"),
        ('[{"kind": "close", "often": true}]', "often"),
        ("{}", "list"),
        ("[", "not a valid list of faults"),
    ],
)
def test_wrong_rules_are_refused(tmp_path: Path, text: str, words: str) -> None:
    """A mistake in a faults file is refused with the file's name and a hint."""
    path = tmp_path / "faults.json"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"faults\.json") as refused:
        read_faults(path)
    assert words in refused.value.message


def test_rules_that_cannot_be_read(tmp_path: Path) -> None:
    """A missing faults file is a ConfigError."""
    with pytest.raises(ConfigError, match="No such file"):
        read_faults(tmp_path / "none.json")


def test_rules_survive_json() -> None:
    """Rules are the same after they are written as JSON and read again."""
    import msgspec

    rules = (FaultRule(kind="drip", start=3, seconds=0.5, rows=(7, "base")), *storm(0.05, 3))
    assert parse_faults(msgspec.json.encode(rules)) == rules
