"""AWS's responses as typed structs, for the peers that decode them without botocore.

Must not know how they were fetched.
"""

from __future__ import annotations

from typing import Any

import msgspec


class Version(msgspec.Struct, gc=False):
    """One item of ListImageVersions."""

    Version: int
    ImageArn: str
    ImageVersionArn: str
    ImageVersionStatus: str
    CreationTime: float
    LastModifiedTime: float
    FailureReason: str | None = None


class Versions(msgspec.Struct):
    """A page of ListImageVersions."""

    ImageVersions: list[Version]
    NextToken: str | None = None


class Image(msgspec.Struct):
    """One item of ListImages."""

    ImageName: str


class Images(msgspec.Struct):
    """A page of ListImages."""

    Images: list[Image]
    NextToken: str | None = None


DECODERS: dict[str, msgspec.json.Decoder[Any]] = {
    "ListImages": msgspec.json.Decoder(Images),
    "ListImageVersions": msgspec.json.Decoder(Versions),
}
