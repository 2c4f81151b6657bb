"""Server-side validation of requests, with the service's own messages.

Knows nothing of the world: only what a request may look like. The constraints are those of the public API.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from image_history.simulator.model import MAX_NAME, NAME_PATTERN
from image_history.simulator.protocol import (
    AwsError,
    DescribeImage,
    DescribeImageVersion,
    ListAliases,
    ListImages,
    ListImageVersions,
    Request,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ALIAS_PATTERN = "(?!^[.-])^([a-zA-Z0-9-_.]+)"
MAX_PAGE = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraint:
    """What one member of a request must satisfy; lengths for texts, values for numbers."""

    member: str
    required: bool = False
    least: int | None = None
    most: int | None = None
    pattern: str | None = None
    choices: tuple[str, ...] = ()

    def complaints(self, value: object) -> Iterator[str]:
        """Yield a message for everything that is wrong with the value, in the service's words."""
        if value is None:
            if self.required:
                yield "Member must not be null"
            return
        measure, kind = (len(value), "length") if isinstance(value, str) else (value, "value")
        if self.most is not None and measure > self.most:  # type: ignore[operator]
            yield f"Member must have {kind} less than or equal to {self.most}"
        if self.least is not None and measure < self.least:  # type: ignore[operator]
            yield f"Member must have {kind} greater than or equal to {self.least}"
        if self.pattern is not None and not _compiled(self.pattern).fullmatch(str(value)):
            yield f"Member must satisfy regular expression pattern: {self.pattern}"
        if self.choices and value not in self.choices:
            yield f"Member must satisfy enum value set: [{', '.join(self.choices)}]"


_NAME = Constraint(member="image_name", required=True, least=1, most=MAX_NAME, pattern=NAME_PATTERN)
_PAGING = (
    Constraint(member="max_results", least=1, most=MAX_PAGE),
    Constraint(member="next_token", most=8192, pattern=".*"),
)
_ALIAS = Constraint(member="alias", least=1, most=128, pattern=ALIAS_PATTERN)
_VERSION = Constraint(member="version", least=0)
_ORDER = Constraint(member="sort_order", choices=("ASCENDING", "DESCENDING"))
_IMAGE_SORT = Constraint(member="sort_by", choices=("CREATION_TIME", "LAST_MODIFIED_TIME", "IMAGE_NAME"))
_VERSION_SORT = Constraint(member="sort_by", choices=("CREATION_TIME", "LAST_MODIFIED_TIME", "VERSION"))
_CONTAINS = Constraint(member="name_contains", most=63, pattern="[a-zA-Z0-9\\-.]+")

CONSTRAINTS: dict[type[Request], tuple[Constraint, ...]] = {
    ListImages: (*_PAGING, _CONTAINS, _IMAGE_SORT, _ORDER),
    ListImageVersions: (_NAME, *_PAGING, _VERSION_SORT, _ORDER),
    DescribeImage: (_NAME,),
    DescribeImageVersion: (_NAME, _VERSION, _ALIAS),
    ListAliases: (_NAME, _ALIAS, _VERSION, *_PAGING),
}
REQUESTS: dict[str, type[Request]] = {kind.__name__: kind for kind in CONSTRAINTS}
_DECODERS = {kind: msgspec.json.Decoder(kind) for kind in CONSTRAINTS}


def parse(operation: str, body: bytes) -> Request:
    """Decode and validate the body of a request. AwsError for one that the service would refuse."""
    kind = REQUESTS.get(operation)
    if kind is None:
        raise AwsError("UnknownOperationException", f"The operation {operation} is not known.")
    try:
        request = _DECODERS[kind].decode(body or b"{}")
    except msgspec.DecodeError as error:
        raise AwsError("SerializationException", str(error)) from error
    failures = [
        f"Value {_shown(value)} at '{_camel(constraint.member)}' failed to satisfy constraint: {complaint}"
        for constraint in CONSTRAINTS[kind]
        for value in (getattr(request, constraint.member),)
        for complaint in constraint.complaints(value)
    ]
    if failures:
        count = f"{len(failures)} validation error{'' if len(failures) == 1 else 's'} detected"
        raise AwsError("ValidationException", f"{count}: {'; '.join(failures)}")
    return request


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


def _shown(value: object) -> str:
    return "null" if value is None else f"'{value}'"


def _camel(member: str) -> str:
    first, *rest = member.split("_")
    return first + "".join(part.capitalize() for part in rest)
