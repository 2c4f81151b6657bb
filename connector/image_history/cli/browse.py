"""One image's versions straight from AWS, as boto3's paginator returns them: parameters, pages, resume tokens.

Must not know streams, checkpoints or the warehouse; proves nothing about what it did not see.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Annotated, Protocol

import msgspec

from image_history.aws.bodies import Answer, ImageVersion, ImageVersionsBody
from image_history.counting import counted
from image_history.errors import ConfigError, RequestRejectedError
from image_history.listing.chain import Chain, chained

SORT_KEYS = ("CREATION_TIME", "LAST_MODIFIED_TIME", "VERSION")
SORT_ORDERS = ("ASCENDING", "DESCENDING")
# 8,192 characters of AWS's token, inside JSON, inside base64.
_LONGEST_TEXT = 12_000


class Pages(Protocol):
    """Where pages come from: `calls.ScopeCalls`, or a plain object in a test."""

    def list_image_versions_with(self, parameters: Mapping[str, object]) -> Answer[ImageVersionsBody]:
        """One page for exactly these request members; see `ScopeCalls`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Browse:
    """The parameters of a listing; None leaves the choice to AWS. Time bounds are inclusive, in UTC epoch seconds.

    AWS's own defaults: CREATION_TIME, DESCENDING, 10 rows a page.
    """

    image_name: str
    creation_time_after: int | None = None
    creation_time_before: int | None = None
    last_modified_time_after: int | None = None
    last_modified_time_before: int | None = None
    sort_by: str | None = None
    sort_order: str | None = None
    page_size: int | None = None

    def parameters(self) -> dict[str, object]:
        """The members of the request; those that are None are left out."""
        members = {
            "ImageName": self.image_name,
            "CreationTimeAfter": _moment(self.creation_time_after),
            "CreationTimeBefore": _moment(self.creation_time_before),
            "LastModifiedTimeAfter": _moment(self.last_modified_time_after),
            "LastModifiedTimeBefore": _moment(self.last_modified_time_before),
            "SortBy": self.sort_by,
            "SortOrder": self.sort_order,
            "MaxResults": self.page_size,
        }
        return {name: value for name, value in members.items() if value is not None}


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


class _Members(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    NextToken: Annotated[str, msgspec.Meta(min_length=1)] | None
    boto_truncate_amount: Annotated[int, msgspec.Meta(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class ResumeToken:
    """Where a listing continues: AWS's token of a page (None: the first), and how many of its rows to skip.

    Its text has the format of boto3's and the AWS CLI's paginators, so that each can continue a listing of another.
    """

    service_token: str | None = None
    skip: int = 0

    def encode(self) -> str:
        """The token as text."""
        members: dict[str, object] = {"NextToken": self.service_token}
        if self.skip:
            members["boto_truncate_amount"] = self.skip
        return base64.b64encode(json.dumps(members).encode()).decode()

    @classmethod
    def decode(cls, text: str) -> ResumeToken:
        """Read a token of a paginator; any other text is AWS's own token, which paginators accept too.

        ConfigError for a text that is too short or too long for either.
        """
        token = text.strip()
        if not 0 < len(token) <= _LONGEST_TEXT:
            raise ConfigError(
                f"The starting token has {counted(len(token), 'character')}; copy the whole token that the listing "
                "before ended with, and nothing else."
            )
        try:
            members = msgspec.json.decode(base64.b64decode(token, validate=True), type=_Members)
        except (binascii.Error, ValueError):
            return cls(token)
        return cls(members.NextToken, members.boto_truncate_amount)


@dataclass(frozen=True, slots=True)
class Listing:
    """The rows in AWS's order; `next_token` continues after them; None at the end of the list.

    `page_size` is that of every request; None if it was left to AWS.
    """

    rows: tuple[ImageVersion, ...]
    next_token: str | None
    page_size: int | None


def browse(
    pages: Pages, wanted: Browse, *, start: ResumeToken = ResumeToken(), max_items: int | None = None
) -> Listing:
    """Read rows until `max_items` (None: all of them) or the end of the list.

    Raises ListingUnstableError for a token that AWS repeats, and what `pages` raises; rows that were read
    before an error are not returned.
    """
    rows: list[ImageVersion] = []
    skip = start.skip
    for page in _chain(pages, wanted, start.service_token):
        fresh = page.rows[skip:]
        room = len(fresh) if max_items is None else max_items - len(rows)
        rows += fresh[:room]
        if len(fresh) > room:
            return Listing(tuple(rows), ResumeToken(page.token, skip + room).encode(), wanted.page_size)
        if len(rows) == max_items and page.next_token is not None:
            return Listing(tuple(rows), ResumeToken(page.next_token).encode(), wanted.page_size)
        # A token that was made with larger pages may skip more rows than one of our pages has.
        skip = max(0, skip - len(page.rows))
    return Listing(tuple(rows), None, wanted.page_size)


def browse_from(
    pages: Pages, wanted: Browse, *, start: ResumeToken, default_page_size: int, max_items: int | None = None
) -> Listing:
    """Browse with the default page size, for a listing that names none.

    AWS may bind a token to the page size that it was made with. A token of `aws ... --max-items` was made
    with AWS's default, so a token that is refused is tried once more without a page size.
    """
    sized = replace(wanted, page_size=default_page_size)
    try:
        return browse(pages, sized, start=start, max_items=max_items)
    except RequestRejectedError:
        if start.service_token is None:
            raise
    return browse(pages, wanted, start=start, max_items=max_items)


@dataclass(frozen=True, slots=True)
class _Page:
    """One page, the token that it was requested with, and the token of the page after it."""

    rows: tuple[ImageVersion, ...]
    token: str | None
    next_token: str | None


def _chain(pages: Pages, wanted: Browse, token: str | None) -> Iterator[_Page]:
    parameters = wanted.parameters()

    def ask(given: str | None) -> _Page:
        with_token = parameters if given is None else {**parameters, "NextToken": given}
        body = pages.list_image_versions_with(with_token).body
        return _Page(body.ImageVersions, given, body.NextToken)

    chain = Chain(
        f"ListImageVersions of image {wanted.image_name}",
        "the list has no end. Use --max-items to see its beginning.",
        most=None,
        begun=token,
    )
    return chained(chain, ask, lambda page: (not page.rows, page.next_token))
