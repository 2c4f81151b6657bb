from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from image_history.errors import MalformedResponseError
from image_history.listing.pages import PageRead, begin, watermark_ms
from image_history.model import ListingKind, ListingRequest, Outcome, PlannedStream, Scope, Stop, Stream
from tests.behaviour.scripted import ARN, DATE_MS, PAGE, Reply, answer, item
from tests.behaviour.stage import Stage, Waits, staged, unpaced_calls
from tests.unit.fakes import read_scopes

SCOPE = Scope("111122223333", "us-east-1")
CHECKPOINT = begin(PlannedStream(Stream(SCOPE, "base"), ListingRequest(ListingKind.FULL, 100)))


def versions(**changes: Any) -> Reply:
    """A page of one item with members changed, or left out if None."""
    return answer(ImageVersions=[item(**changes)])


def altered(member: str, value: Any) -> dict[str, object]:
    """An item with one member changed."""
    return {**item(), member: value}


def literal(member: str, text: str) -> Reply:
    """A page of one item in which a member's value is this text, without quotes."""
    content = json.dumps({"ImageVersions": [altered(member, "HERE")]})
    return Reply(body=content.replace('"HERE"', text).encode())


MALFORMED: dict[str, Reply | bytes] = {
    "html": Reply(
        body=b"<html><body>Welcome to our hotel</body></html>", headers={"Content-Type": "text/html"}
    ),
    "cut-json": Reply(body=PAGE.body[:-20]),
    "empty": Reply(body=b""),
    "blank": Reply(body=b" \n"),
    "empty-object": Reply(body=b"{}"),
    "null": Reply(body=b"null"),
    "list": Reply(body=b"[]"),
    "text": Reply(body=b'"ImageVersions"'),
    "two-objects": Reply(body=PAGE.body + PAGE.body),
    "error-shaped": answer(__type="ThrottlingException", message="Rate exceeded"),
    "newer-without-list": answer(New=1),
    "newer-null-list": answer(New=1, ImageVersions=None),
    "newer-dict-for-list": answer(New=1, ImageVersions={}),
    "newer-null-item": answer(New=1, ImageVersions=[None]),
    "newer-bad-item": answer(New=1, ImageVersions=[item(New=2), item(2, Version="7")]),
    "newer-empty-token": answer(New=1, ImageVersions=[], NextToken=""),
    "newer-cut": Reply(body=b'{"New":1,"ImageVersions":[{"Vers'),
    "newer-invalid-utf8": Reply(body=b'{"New":1,"ImageVersions":[{"A":"\xff"}]}'),
    "null-list": answer(ImageVersions=None),
    "dict-for-list": answer(ImageVersions={}),
    "null-item": answer(ImageVersions=[None]),
    "text-item": answer(ImageVersions=["1"]),
    "good-then-bad-item": answer(ImageVersions=[item(1), {}]),
    **{f"no-{member}": versions(**{member: None}) for member in item()},
    **{f"null-{member}": literal(member, "null") for member in item()},
    "version-text": versions(Version="7"),
    "version-fraction": versions(Version=1.5),
    "version-2^40": versions(Version=2**40),
    "version-negative": versions(Version=-1),
    "version-true": versions(Version=True),
    "arn-number": versions(ImageArn=5),
    "arn-empty": versions(ImageVersionArn=""),
    "arn-of-another-image": versions(ImageArn=ARN.replace("base", "case")),
    "arn-of-another-version": versions(ImageVersionArn=item(2)["ImageVersionArn"]),
    "arn-of-another-account": answer(ImageVersions=[item(1), item(2, ImageArn=ARN.replace("1111", "1115"))]),
    "status-empty": versions(ImageVersionStatus=""),
    "reason-number": versions(FailureReason=5),
    "time-nan": literal("CreationTime", "NaN"),
    "time-infinity": literal("CreationTime", "Infinity"),
    "time-1e400": literal("CreationTime", "1e400"),
    "time-milliseconds": versions(LastModifiedTime=1_666_064_247_561),
    "time-negative": versions(LastModifiedTime=-1.0),
    "time-true": versions(CreationTime=True),
    "time-text": versions(CreationTime="1666064247.19"),
    "time-iso": versions(CreationTime="2022-10-18T03:37:27Z"),
    "token-empty": answer(ImageVersions=[], NextToken=""),
    "token-number": answer(ImageVersions=[], NextToken=5),
    "token-8193": answer(ImageVersions=[], NextToken="x" * 8193),
    "invalid-utf8": Reply(body=PAGE.body.replace(b"CREATED", b"CRE\xff\xfeD")),
    "utf16": Reply(body=PAGE.body.decode().encode("utf-16")),
    "short-body": Reply(body=PAGE.body, length=len(PAGE.body) + 1),
    "no-request-id": Reply(body=PAGE.body, headers={"x-amzn-RequestId": None}),
    "empty-request-id": Reply(body=PAGE.body, headers={"x-amzn-RequestId": ""}),
    "no-date": Reply(body=PAGE.body, headers={"Date": None}),
    "bad-date": Reply(body=PAGE.body, headers={"Date": "yesterday"}),
    "status-204": Reply(204, b""),
    "status-202": Reply(202, PAGE.body),
    "status-line-only": b"HTTP/1.1 200 OK\r\n\r\n",
    "headers-only": b"HTTP/1.1 200 OK\r\nx-amzn-RequestId: r\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n\r\n",
}
WELL_FORMED = {
    "empty-list": (answer(ImageVersions=[]), 0),
    "empty-list-with-token": (answer(ImageVersions=[], NextToken="x" * 8192), 0),
    "null-token": (answer(ImageVersions=[item()], NextToken=None), 1),
    "unknown-members": (answer(ImageVersions=[item(New={"a": [1]})], More=True), 1),
    "unknown-status": (versions(ImageVersionStatus="ARCHIVED"), 1),
    "version-zero": (answer(ImageVersions=[item(0)]), 1),
    "arn-of-another-case": (versions(ImageArn=ARN.replace("base", "BASE")), 1),
    "image-arn-none": (versions(ImageArn="None"), 1),
    "arn-none": (versions(ImageVersionArn="None"), 1),
    "exponent": (literal("CreationTime", "1.666064247561E9"), 1),
    "whole-seconds": (versions(CreationTime=1_666_064_247), 1),
    "no-length": (Reply(body=PAGE.body, headers={"Content-Length": None}), 1),
}


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """One server and one client."""
    with staged() as stage:
        yield stage


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_success_is_tried_again(stage: Stage, name: str) -> None:
    """A malformed success is not an empty page: the same request is sent again."""
    stage.play(MALFORMED[name], MALFORMED[name], PAGE)
    calls = unpaced_calls(stage.api)
    found = calls.list_image_versions_with({"ImageName": "base"})
    assert [row.Version for row in found.body.ImageVersions] == [1]
    assert len(stage.server.requests) == 3
    assert len({request.body for request in stage.server.requests}) == 1
    assert calls.meter.take().retries == 2


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_success_is_never_an_end(stage: Stage, name: str) -> None:
    """If the answers after a first page stay malformed, the listing fails there, and proves no watermark."""
    stage.play(answer(ImageVersions=[item()], NextToken="more"), MALFORMED[name])
    pages: list[PageRead] = []
    calls = unpaced_calls(stage.api)
    lost = read_scopes({SCOPE: calls}, pages.append, [CHECKPOINT], stop=Stop(event=Waits()))
    assert lost == {}
    assert len(stage.server.requests) == 1 + 3
    first, last = pages
    assert ([row.Version for row in first.rows], first.checkpoint.next_token) == ([1], "more")
    assert (last.rows, last.checkpoint.outcome) == ((), Outcome.FAILED)
    assert (last.checkpoint.next_token, last.checkpoint.error_code) == (None, "MalformedResponseError")
    # The first page alone would move it.
    assert watermark_ms(replace(last.checkpoint, outcome=Outcome.COMPLETE)) is not None
    assert watermark_ms(last.checkpoint) is None


@pytest.mark.parametrize("name", WELL_FORMED)
def test_well_formed_success_is_taken(stage: Stage, name: str) -> None:
    """A well-formed success, also with unknown members or values, is accepted after one request."""
    reply, rows = WELL_FORMED[name]
    stage.play(reply)
    assert len(stage.call().body.ImageVersions) == rows
    assert len(stage.server.requests) == 1


def test_answer_carries_what_a_page_is_judged_by(stage: Stage) -> None:
    """An answer has AWS's request id, the server's Date in milliseconds, and the size of its body."""
    stage.play(PAGE)
    found = stage.call()
    assert found.request_id == "11111111-2222-3333-4444-555555555555"
    assert (found.date_ms, found.size_bytes) == (DATE_MS, len(PAGE.body))


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu"])
def test_date_without_a_zone_is_utc(stage: Stage, zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Date without a zone is in UTC, whatever the machine's time zone is."""
    monkeypatch.setenv("TZ", zone)
    stage.play(Reply(body=PAGE.body, headers={"Date": "Mon, 23 Nov 2026 12:00:00 -0000"}))
    assert stage.call().date_ms == DATE_MS


def test_malformed_message_says_where(stage: Stage) -> None:
    """The error names operation, image, member and AWS's request id; the request id is also in its context."""
    stage.play(answer(ImageVersions=[item(1), item(2, Version="7")]))
    place = r"ListImageVersions of image base .*\$\.ImageVersions\[1\]\.Version` \(request id 1111"
    with pytest.raises(MalformedResponseError, match=place) as malformed:
        stage.call()
    assert malformed.value.context["request_id"] == "11111111-2222-3333-4444-555555555555"
