"""One message -> the image that it hints at. Pure; a message that cannot be interpreted is no hint.

Must not know where messages come from, nor which images there are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from image_history.model import Scope

# AWS's limit for the size of an event and of a queue's message.
MOST_BYTES = 256 * 1024

_STATE_CHANGES = frozenset({"sagemaker image state change", "sagemaker image version state change"})
_TRAIL = "aws api call via cloudtrail"
_TRAIL_SOURCE = "sagemaker.amazonaws.com"
_TRAIL_CALLS = frozenset(
    {"updateimageversion", "createimageversion", "deleteimageversion", "updateimage", "deleteimage"}
)
# Lower case, since it is not certain how AWS writes names in ARNs.
_IMAGE_ARN = re.compile(
    r"arn:aws[a-z-]*:sagemaker:(?P<region>[a-z0-9-]{1,32}):(?P<account>[0-9]{12}):image/(?P<name>[a-z0-9.-]{1,63})"
)
_NAME = re.compile(r"[A-Za-z0-9.-]{1,63}")
_ACCOUNT = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Hint:
    """An image that may have changed. `image` is its name in lower case.

    `at_ms` (UTC epoch milliseconds) is no earlier than the change; None if the message has no time. `deletes` says
    that a version, or the image, may be gone: an incremental listing would not show that.
    """

    scope: Scope
    image: str
    at_ms: int | None = None
    deletes: bool = False


class _Envelope(msgspec.Struct):
    """An event as EventBridge sends it; other members are ignored."""

    detail: msgspec.Raw
    kind: str = msgspec.field(name="detail-type")
    time: str | None = None


class _Change(msgspec.Struct):
    """The detail of a state change. ImageVersionArn is not read: in AWS's own example it has no number."""

    image_arn: str = msgspec.field(name="ImageArn")
    image_status: object = msgspec.field(name="ImageStatus", default=None)
    version_status: object = msgspec.field(name="ImageVersionStatus", default=None)


class _Parameters(msgspec.Struct):
    """The parameters of the call to SageMaker."""

    name: str = msgspec.field(name="imageName")


class _Call(msgspec.Struct):
    """The detail of a call that CloudTrail has recorded."""

    source: str = msgspec.field(name="eventSource")
    name: str = msgspec.field(name="eventName")
    region: str = msgspec.field(name="awsRegion")
    account: str = msgspec.field(name="recipientAccountId")
    parameters: _Parameters = msgspec.field(name="requestParameters")


_ENVELOPES = msgspec.json.Decoder(_Envelope)
_CHANGES = msgspec.json.Decoder(_Change)
_CALLS = msgspec.json.Decoder(_Call)


def parse_hint(message: str | bytes) -> Hint | None:
    """The image that an event is about; None for a message that is not an event about images.

    Account, region and name of a state change come from its ImageArn alone: in AWS's own example the envelope
    has another region. Names are compared without case.
    """
    if len(message) > MOST_BYTES:
        return None
    try:
        envelope = _ENVELOPES.decode(message)
        kind = envelope.kind.lower()
        if kind in _STATE_CHANGES:
            return _of_change(_CHANGES.decode(envelope.detail), _moment(envelope.time))
        return _of_call(_CALLS.decode(envelope.detail), _moment(envelope.time)) if kind == _TRAIL else None
    except _UNDECODABLE:
        return None


def _of_change(change: _Change, at_ms: int | None) -> Hint | None:
    arn = _IMAGE_ARN.fullmatch(change.image_arn.lower())
    if arn is None:
        return None
    status = str(change.version_status or change.image_status or "").upper()
    scope = Scope(arn["account"], arn["region"])
    return Hint(scope, arn["name"], at_ms, deletes=status.startswith("DELET"))


def _of_call(call: _Call, at_ms: int | None) -> Hint | None:
    name = call.name.lower()
    known = call.source == _TRAIL_SOURCE and name in _TRAIL_CALLS
    sound = _ACCOUNT.fullmatch(call.account) and _REGION.fullmatch(call.region)
    if not known or not sound or not _NAME.fullmatch(call.parameters.name):
        return None
    scope = Scope(call.account, call.region)
    return Hint(scope, call.parameters.name.lower(), at_ms, deletes=name.startswith("delete"))


def _moment(text: str | None) -> int | None:
    """UTC epoch milliseconds, rounded up: EventBridge gives whole seconds. None for an invalid time."""
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
        aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return int(aware.timestamp() * 1000) + 999
    except (ValueError, OverflowError, OSError):
        return None
