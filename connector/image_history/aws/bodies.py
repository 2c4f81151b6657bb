"""The types of AWS's answers: a body must match its type before a page is accepted.

Pure decoding of bytes; must not know HTTP, botocore, or what becomes of a row. botocore turns a malformed success
into an empty last page without an error (HTML, cut JSON, `{}`, a null list), so bodies are decoded here instead,
and a body that doesn't match raises `MalformedResponseError`. Additions by AWS are no fault: unknown members are
kept as JSON, and unknown values as text, and both are reported as drift.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from image_history.errors import MalformedResponseError
from image_history.model import Drift

# The limit 4102444800 is the year 2100. It refuses an epoch in milliseconds, which a broken service may send.
_Epoch = Annotated[float, msgspec.Meta(ge=0, le=4_102_444_800)]
_Number = Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Token = Annotated[str, msgspec.Meta(min_length=1, max_length=8192)]

Body_co = TypeVar("Body_co", covariant=True)
_SHOWN_BYTES = 200

VERSION_STATUSES = frozenset({"CREATING", "CREATED", "CREATE_FAILED", "DELETING", "DELETE_FAILED"})
IMAGE_STATUSES = VERSION_STATUSES | {"UPDATING", "UPDATE_FAILED"}

# The known values of DescribeImageVersion's members, where the service's model lists them.
DETAIL_VALUES: dict[str, frozenset[str]] = {
    "JobType": frozenset({"TRAINING", "INFERENCE", "NOTEBOOK_KERNEL"}),
    "Processor": frozenset({"CPU", "GPU"}),
    "VendorGuidance": frozenset({"NOT_PROVIDED", "STABLE", "TO_BE_ARCHIVED", "ARCHIVED"}),
}

# No member of AWS's answers can have these names, so only this module fills the fields.
_RAW_NAME = "(members unknown here)"
_RAW = msgspec.field(name=_RAW_NAME, default=None)
_DETAILS_RAW_NAME = "(members of the description unknown here)"


class ImageVersion(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One item of ListImageVersions. Times are epoch seconds with milliseconds, as AWS sends them.

    `etl_raw` has the unknown members, as JSON.
    """

    Version: _Number
    ImageArn: _Text
    ImageVersionArn: _Text
    ImageVersionStatus: _Text
    CreationTime: _Epoch
    LastModifiedTime: _Epoch
    FailureReason: str | None = None
    etl_raw: str | None = _RAW


class DescribedImageVersion(ImageVersion, frozen=True, gc=False, forbid_unknown_fields=True):
    """The answer of DescribeImageVersion: the members of the list, and details.

    Its unknown members are kept as JSON in a separate field, since the list may lack them.
    """

    BaseImage: str | None = None
    ContainerImage: str | None = None
    Horovod: bool | None = None
    JobType: str | None = None
    MLFramework: str | None = None
    Processor: str | None = None
    ProgrammingLang: str | None = None
    ReleaseNotes: str | None = None
    VendorGuidance: str | None = None
    etl_details_raw: str | None = msgspec.field(name=_DETAILS_RAW_NAME, default=None)


class Image(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """One item of ListImages. Times are epoch seconds with milliseconds; `etl_raw` as in ImageVersion."""

    ImageName: _Text
    ImageArn: _Text
    ImageStatus: _Text
    CreationTime: _Epoch
    LastModifiedTime: _Epoch
    Description: str | None = None
    DisplayName: str | None = None
    FailureReason: str | None = None
    etl_raw: str | None = _RAW


class DescribedImage(Image, frozen=True, gc=False, forbid_unknown_fields=True):
    """The answer of DescribeImage."""

    RoleArn: str | None = None


class ImageVersionsBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a ListImageVersions success; an empty result still carries its list."""

    ImageVersions: tuple[ImageVersion, ...]
    NextToken: _Token | None = None


class ImagesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a ListImages success; an empty result still carries its list."""

    Images: tuple[Image, ...]
    NextToken: _Token | None = None


class AliasesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a ListAliases success: only names, those of one version if the request named one."""

    SageMakerImageVersionAliases: tuple[_Text, ...]
    NextToken: _Token | None = None


BODIES: dict[str, type[msgspec.Struct]] = {
    "ListImageVersions": ImageVersionsBody,
    "ListImages": ImagesBody,
    "DescribeImage": DescribedImage,
    "DescribeImageVersion": DescribedImageVersion,
    "ListAliases": AliasesBody,
}
# Besides its own errors, msgspec raises these: for text that is not UTF-8, and for endless nesting.
_UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_ITEMS: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "ListImageVersions": ("ImageVersions", ImageVersion),
    "ListImages": ("Images", Image),
}
_DECODERS = {operation: msgspec.json.Decoder(body) for operation, body in BODIES.items()}


@dataclass(frozen=True, slots=True)
class Answer(Generic[Body_co]):
    """One validated success: its typed body, AWS's request id, the server's Date and the body's size.

    `date_ms` is UTC epoch milliseconds with the whole seconds that HTTP gives. `drift` lists the unknown members
    and values of the body.
    """

    body: Body_co
    request_id: str
    date_ms: int
    size_bytes: int
    drift: tuple[Drift, ...] = ()


def decode_body(operation: str, body: bytes) -> tuple[msgspec.Struct, tuple[Drift, ...]]:
    """Decode one success body of `operation`; also return its unknown members and values as drift.

    MalformedResponseError says what doesn't fit, and where.
    """
    try:
        decoded = _DECODERS[operation].decode(body)
        unknown: tuple[Drift, ...] = ()
    except _UNDECODABLE as error:
        decoded, unknown = _decode_newer(operation, body, error)
    return decoded, (*unknown, *_unknown_values(operation, decoded))


def _malformed(operation: str, body: bytes, error: Exception) -> MalformedResponseError:
    return MalformedResponseError(
        f"{operation} answered 200 with a body that is no valid answer ({len(body)} bytes): {error}",
        operation=operation,
    )


def _decode_newer(operation: str, body: bytes, error: Exception) -> tuple[msgspec.Struct, tuple[Drift, ...]]:
    """Decode a body with members that this version doesn't know. The rest of the body must be valid."""
    if not isinstance(error, msgspec.ValidationError) or "unknown field" not in str(error):
        raise _malformed(operation, body, error) from error
    try:
        answer: dict[str, Any] = msgspec.json.decode(body)
    except _UNDECODABLE as invalid:
        raise _malformed(operation, body, invalid) from invalid
    unknown: Counter[str] = Counter()
    known = {name: value for name, value in answer.items() if name in _members(BODIES[operation])}
    unknown.update(answer.keys() - known.keys())
    raws: list[str | None] = []
    name, item = _ITEMS.get(operation, ("", ImageVersion))
    entries = known.get(name)
    # A missing or null list is left unchanged, so that it is refused, and never taken for an empty one.
    if isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries):
        split = [_split(entry, item) for entry in entries]
        unknown.update(f"{name}[].{member}" for _, extra in split for member in extra)
        raws = [msgspec.json.encode(extra).decode() if extra else None for _, extra in split]
        known[name] = [entry for entry, _ in split]
    try:
        decoded = msgspec.convert(known, BODIES[operation])
    except msgspec.ValidationError as invalid:
        raise _malformed(operation, body, invalid) from invalid
    drift = tuple(Drift(operation, member, None, count) for member, count in sorted(unknown.items()))
    if isinstance(decoded, DescribedImageVersion):
        extra = {name: answer[name] for name in sorted(unknown)}
        raw = msgspec.json.encode(extra).decode()
        return msgspec.structs.replace(decoded, etl_details_raw=raw), drift
    return _with_raws(operation, decoded, raws), drift


def _members(kind: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind)) - {
        _RAW_NAME,
        _DETAILS_RAW_NAME,
    }


def _split(entry: dict[str, Any], kind: type[msgspec.Struct]) -> tuple[dict[str, Any], dict[str, Any]]:
    members = _members(kind)
    extra = {name: value for name, value in entry.items() if name not in members}
    return {name: value for name, value in entry.items() if name in members}, extra


def _with_raws(operation: str, decoded: msgspec.Struct, raws: Iterable[str | None]) -> msgspec.Struct:
    if operation not in _ITEMS:
        return decoded
    name, _ = _ITEMS[operation]
    items = [
        msgspec.structs.replace(item, etl_raw=raw) if raw is not None else item
        for item, raw in zip(getattr(decoded, name), raws, strict=True)
    ]
    return msgspec.structs.replace(decoded, **{name: tuple(items)})


def _unknown_values(operation: str, decoded: msgspec.Struct) -> Iterator[Drift]:
    """Unknown values, each with how often it occurred. The body keeps them unchanged."""
    if isinstance(decoded, ImageVersionsBody):
        statuses = [row.ImageVersionStatus for row in decoded.ImageVersions]
        known, member = VERSION_STATUSES, "ImageVersions[].ImageVersionStatus"
    elif isinstance(decoded, ImagesBody):
        statuses = [row.ImageStatus for row in decoded.Images]
        known, member = IMAGE_STATUSES, "Images[].ImageStatus"
    else:
        yield from _unknown_details(operation, decoded)
        return
    if not known.issuperset(statuses):
        counted = Counter(status for status in statuses if status not in known)
        for status, count in sorted(counted.items()):
            yield Drift(operation, member, status, count)


def _unknown_details(operation: str, decoded: msgspec.Struct) -> Iterator[Drift]:
    if isinstance(decoded, DescribedImageVersion):
        for member, values in DETAIL_VALUES.items():
            said = getattr(decoded, member)
            if said is not None and said not in values:
                yield Drift(operation, member, said, 1)


class _ErrorBody(msgspec.Struct, rename={"code": "__type", "text": "message", "capital": "Message"}):
    code: str | None = None
    text: str | None = None
    capital: str | None = None


def readable_error(body: bytes) -> bytes:
    """Rewrite an error's body as an object of texts. A body that is not JSON, as of a proxy, becomes the message."""
    if not body.strip():
        return body
    try:
        error = msgspec.json.decode(body, type=_ErrorBody)
    except _UNDECODABLE:
        shown = body[:_SHOWN_BYTES].decode(errors="replace")
        return msgspec.json.encode({"message": " ".join(shown.split())})
    members = {"__type": error.code, "message": error.text or error.capital}
    return msgspec.json.encode({name: text for name, text in members.items() if text is not None})


def epoch_ms(seconds: float) -> int:
    """AWS's epoch seconds as integer milliseconds; exact for every millisecond that a float64 carries."""
    return round(seconds * 1000)
