"""How events are read, and how a hint reader turns messages into hints; without a queue or a sync's folder."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from image_history.hints.events import Hint, parse_hint
from image_history.hints.mail import message_of
from image_history.model import Scope

ARN = "arn:aws:sagemaker:eu-west-1:111122223333:image/sklearn"
NOON = "2026-09-21T12:00:00Z"
NOON_MS = int(datetime(2026, 9, 21, 12, tzinfo=UTC).timestamp() * 1000)
SCOPE = Scope("111122223333", "eu-west-1")


def change(kind: str = "Image Version", **detail: object) -> dict[str, Any]:
    """A state change in the form that AWS documents."""
    return {
        "version": "0",
        "detail-type": f"SageMaker {kind} State Change",
        "source": "aws.sagemaker",
        "account": "999999999999",
        "region": "us-east-1",
        "time": NOON,
        "detail": {"ImageArn": ARN, "Version": 1.0, **detail},
    }


def call(name: str, **more: object) -> dict[str, Any]:
    """A call that CloudTrail recorded."""
    return {
        "detail-type": "AWS API Call via CloudTrail",
        "time": NOON,
        "detail": {
            "eventSource": "sagemaker.amazonaws.com",
            "eventName": name,
            "awsRegion": "eu-west-1",
            "recipientAccountId": "111122223333",
            "requestParameters": {"imageName": "SKLearn"},
            **more,
        },
    }


@pytest.mark.parametrize(
    ("event", "deletes"),
    [
        pytest.param(change(ImageVersionStatus="CREATED"), False, id="created"),
        pytest.param(change(ImageVersionStatus="DELETING"), True, id="deleting"),
        pytest.param(change(ImageVersionStatus="Delete_Failed"), True, id="delete-failed"),
        pytest.param(change("Image", ImageStatus="DELETING"), True, id="image-deleting"),
        pytest.param(change("Image", ImageStatus="UPDATING"), False, id="image-updating"),
        pytest.param(change(ImageVersionStatus=7, Unknown=[1]), False, id="odd-members"),
        pytest.param(change(ImageArn=ARN.upper()), False, id="upper-case"),
        pytest.param(call("UpdateImageVersion"), False, id="update"),
        pytest.param(call("DeleteImageVersion"), True, id="delete-call"),
    ],
)
def test_event_of_an_image_is_a_hint_at_it(event: dict[str, Any], deletes: bool) -> None:
    """Account, region and name come from the ARN or from the call, and the time is the end of its second."""
    assert parse_hint(json.dumps(event)) == Hint(SCOPE, "sklearn", NOON_MS + 999, deletes=deletes)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(change("Model"), id="model"),
        pytest.param(change(ImageArn=None), id="no-arn"),
        pytest.param(change(ImageArn=f"{ARN}/more"), id="other-arn"),
        pytest.param(change(ImageArn="arn:aws:sagemaker:eu-west-1:1:image/x"), id="short-account"),
        pytest.param(call("CreateModel"), id="other-call"),
        pytest.param(call("UpdateImageVersion", eventSource="s3.amazonaws.com"), id="other-source"),
        pytest.param(call("UpdateImageVersion", requestParameters=None), id="no-parameters"),
        pytest.param(call("UpdateImageVersion", recipientAccountId="x"), id="no-account"),
        pytest.param({"detail": {}, "detail-type": "x", "padding": "y" * 300_000}, id="too-large"),
    ],
)
def test_other_event_is_no_hint(event: dict[str, Any]) -> None:
    """An event about anything but an image is no hint, and raises no error."""
    assert parse_hint(json.dumps(event)) is None


@pytest.mark.parametrize("time", ["yesterday", "", "9999-99-99T00:00:00Z", "0001-01-01T00:00:00+14:00"])
def test_impossible_time_is_none(time: str) -> None:
    """An event with an impossible time is still a hint, without a usable time."""
    hint = parse_hint(json.dumps({**change(), "time": time}))
    assert hint is not None
    assert hint.at_ms is None or hint.at_ms < 0


def test_no_change_is_later_than_its_message() -> None:
    """An event that is dated later than its message, or has no date, gets the time of the message."""
    bodies = [json.dumps({**change(), "time": "2030-01-01T00:00:00Z"}), json.dumps({**change(), "time": ""})]
    message = message_of("receipt", bodies, sent_ms=NOON_MS)
    assert [hint.at_ms for hint in message.hints] == [NOON_MS, NOON_MS]


def test_junk_is_counted() -> None:
    """Bodies of a message that are no event are counted, and the other bodies are still read."""
    message = message_of("receipt", ["", "[", b"\xff", json.dumps(change())], sent_ms=NOON_MS)
    assert (len(message.hints), message.junk) == (1, 3)


def test_line_of_the_documentation_is_a_hint() -> None:
    """The example line of a folder of hints is an event about an image."""
    text = (Path(__file__).parents[2] / "docs/hints.md").read_text()
    (line,) = re.findall(r"```json\n(.*)\n```", text)
    assert parse_hint(line) == Hint(Scope("111122223333", "eu-west-1"), "base", 1_782_907_200_999)
