"""The values a simulated world is made of: scopes, images, versions and the rows of truth about them.

Knows nothing of HTTP, JSON pages or tokens.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

import msgspec

from image_history.errors import ConfigError

DEFAULT_ACCOUNT = "111122223333"
DEFAULT_REGION = "us-east-1"
ACCOUNT_DIGITS = 12
# The API's own pattern.
NAME_PATTERN = "[a-zA-Z0-9]([-.]?[a-zA-Z0-9]){0,62}"
MAX_NAME = 63

VersionStatus = Literal["CREATING", "CREATED", "CREATE_FAILED", "DELETING", "DELETE_FAILED"]
ImageStatus = Literal[
    "CREATING", "CREATED", "CREATE_FAILED", "UPDATING", "UPDATE_FAILED", "DELETING", "DELETE_FAILED"
]
VERSION_STATUSES: tuple[VersionStatus, ...] = (
    "CREATING",
    "CREATED",
    "CREATE_FAILED",
    "DELETING",
    "DELETE_FAILED",
)


def check_image_name(name: str) -> None:
    """Raise ConfigError for a name that no request could have for an image."""
    if len(name) > MAX_NAME or re.fullmatch(NAME_PATTERN, name) is None:
        raise ConfigError(f"{name!r} cannot be the name of an image: 1 to 63 letters, digits, - and .")


def check_account(account_id: str) -> None:
    """Raise ConfigError for a text that is not an account id."""
    if not (len(account_id) == ACCOUNT_DIGITS and account_id.isascii() and account_id.isdigit()):
        raise ConfigError(f"the account {account_id!r} is not {ACCOUNT_DIGITS} digits")


class Scope(NamedTuple):
    """One account in one region."""

    account_id: str = DEFAULT_ACCOUNT
    region: str = DEFAULT_REGION


def access_key_of(account_id: str) -> str:
    """The access key id by which a server identifies the account."""
    return f"AKIASIMULATOR{account_id}"


class VersionDetails(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """The members of a version that only DescribeImageVersion returns; absent ones are None."""

    base_image: str | None = None
    container_image: str | None = None
    job_type: str | None = None
    ml_framework: str | None = None
    programming_lang: str | None = None
    processor: str | None = None
    horovod: bool = False
    vendor_guidance: str | None = None
    release_notes: str | None = None


class VersionRecord(msgspec.Struct, kw_only=True, eq=False, gc=False):
    """One state of one version. It is never changed: a change replaces it by another record.

    The last two members are the one exception: they cache the row as it is sent, for one `ArnStyle`.
    """

    version: int
    creation_ms: int
    last_modified_ms: int
    status: str = "CREATED"
    failure_reason: str | None = None
    details: VersionDetails | None = None
    encoded: bytes = b""
    encoded_for: object = None


class VersionTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One existing version as the service would return it, with all members; instants in epoch milliseconds."""

    account_id: str
    region: str
    image_name: str
    version: int
    image_arn: str
    image_version_arn: str
    status: str
    failure_reason: str | None
    creation_ms: int
    last_modified_ms: int
    aliases: tuple[str, ...]
    details: VersionDetails


class ImageTruth(msgspec.Struct, frozen=True, kw_only=True):
    """One existing image as the service would return it; instants in epoch milliseconds."""

    account_id: str
    region: str
    image_name: str
    image_arn: str
    status: str
    failure_reason: str | None
    display_name: str | None
    description: str | None
    role_arn: str | None
    creation_ms: int
    last_modified_ms: int
    version_count: int


class ArnStyle(msgspec.Struct, frozen=True, kw_only=True):
    """How ARNs are written: the partition (None: the region's), in lower case, or version ARNs as the text None."""

    partition: str | None = None
    lowercase: bool = False
    version_arn_none: bool = False

    def partition_of(self, region: str) -> str:
        """The partition of a region, unless one is forced."""
        if self.partition is not None:
            return self.partition
        prefixes = {"us-gov-": "aws-us-gov", "cn-": "aws-cn", "eusc-": "aws-eusc"}
        return next((name for prefix, name in prefixes.items() if region.startswith(prefix)), "aws")

    def image(self, scope: Scope, name: str) -> str:
        """The ARN of an image."""
        return f"{self._stem(scope)}:image/{self._name(name)}"

    def version(self, scope: Scope, name: str, version: int) -> str:
        """The ARN of an image version."""
        if self.version_arn_none:
            return "None"
        return f"{self._stem(scope)}:image-version/{self._name(name)}/{version}"

    def _stem(self, scope: Scope) -> str:
        return f"arn:{self.partition_of(scope.region)}:sagemaker:{scope.region}:{scope.account_id}"

    def _name(self, name: str) -> str:
        return name.lower() if self.lowercase else name
