"""AWS's answers, typed: what a body must be before a page is believed.

Pure decoding of bytes; must not know HTTP, botocore, or what becomes of a row. botocore turns a malformed
success into an empty last page without an error (HTML, cut JSON, `{}`, a null list), so bodies are decoded
here instead, and whatever doesn't fit raises `MalformedResponseError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar

import msgspec

from connector.errors import MalformedResponseError

# An epoch in milliseconds, as a broken service may send, lies beyond; 4102444800 is the year 2100.
_Epoch = Annotated[float, msgspec.Meta(ge=0, le=4_102_444_800)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Token = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]

_SHOWN_BYTES = 200

Body = TypeVar("Body", covariant=True)


class ImageVersion(msgspec.Struct, frozen=True, gc=False):
    """One item of ListImageVersions, and what DescribeImageVersion says of the same.

    Times are epoch seconds with milliseconds, as AWS sends them.
    """

    Version: _Number
    ImageArn: _Text
    ImageVersionArn: _Text
    ImageVersionStatus: _Text
    CreationTime: _Epoch
    LastModifiedTime: _Epoch
    FailureReason: str | None = None


class Image(msgspec.Struct, frozen=True, gc=False):
    """One item of ListImages, and what DescribeImage answers. Times are epoch seconds with milliseconds."""

    ImageName: _Text
    ImageArn: _Text
    ImageStatus: _Text
    CreationTime: _Epoch
    LastModifiedTime: _Epoch
    Description: str | None = None
    DisplayName: str | None = None
    FailureReason: str | None = None


class ImageVersionsBody(msgspec.Struct, frozen=True):
    """The body of a ListImageVersions success; an empty result still carries its list."""

    ImageVersions: tuple[ImageVersion, ...]
    NextToken: _Token | None = None


class ImagesBody(msgspec.Struct, frozen=True):
    """The body of a ListImages success; an empty result still carries its list."""

    Images: tuple[Image, ...]
    NextToken: _Token | None = None


BODIES: dict[str, type[msgspec.Struct]] = {
    "ListImageVersions": ImageVersionsBody,
    "ListImages": ImagesBody,
    "DescribeImage": Image,
    "DescribeImageVersion": ImageVersion,
}
_DECODERS = {operation: msgspec.json.Decoder(body) for operation, body in BODIES.items()}


@dataclass(frozen=True, slots=True)
class Answer(Generic[Body]):
    """One validated success: its typed body, AWS's request id, the server's Date and the body's size.

    `date_ms` is UTC epoch milliseconds with the whole seconds that HTTP gives.
    """

    body: Body
    request_id: str
    date_ms: int
    size_bytes: int


def decode_body(operation: str, body: bytes) -> msgspec.Struct:
    """Decode one success body of `operation`; MalformedResponseError says what doesn't fit, and where."""
    try:
        return _DECODERS[operation].decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedResponseError(
            f"{operation} answered 200 with a body that is no valid answer ({len(body)} bytes): {error}",
            operation=operation,
        ) from error


class _ErrorBody(msgspec.Struct, rename={"code": "__type", "text": "message", "capital": "Message"}):
    code: str | None = None
    text: str | None = None
    capital: str | None = None


def readable_error(body: bytes) -> bytes:
    """An error's body as an object of texts, whatever was sent: what a proxy says becomes the message."""
    if not body.strip():
        return body
    try:
        told = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, UnicodeDecodeError):
        shown = body[:_SHOWN_BYTES].decode(errors="replace")
        return msgspec.json.encode({"message": " ".join(shown.split())})
    members = {"__type": told.code, "message": told.text or told.capital}
    return msgspec.json.encode({name: text for name, text in members.items() if text is not None})


def epoch_ms(seconds: float) -> int:
    """AWS's epoch seconds as integer milliseconds; exact for every millisecond that a float64 carries."""
    return round(seconds * 1000)
