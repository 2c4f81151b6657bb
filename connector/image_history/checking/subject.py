"""The image of a probe, and the requests about it. Every answer of AWS, also a refusal, is a value.

Only reads, at the scope's own pace; must not know what is concluded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from image_history.aws.bodies import Image, ImageVersion, epoch_ms
from image_history.errors import ConnectorError, SkippableError
from image_history.extract.calls import ScopeCalls
from image_history.model import Scope

Response = TypeVar("Response")
PAGE = 100
# The most pages that are read of an image, so that the largest one takes no more than a minute.
_MOST_PAGES = 10
NOBODY = "image-history-probe-of-nothing"


@dataclass(frozen=True, slots=True)
class Question:
    """The members of a list request. Time filters are whole epoch seconds, UTC, as AWS takes them."""

    sort_by: str | None = None
    sort_order: str | None = None
    page_size: int | None = None
    modified_after: int | None = None
    modified_before: int | None = None
    created_after: int | None = None
    created_before: int | None = None

    def parameters(self, image_name: str, token: str | None) -> dict[str, object]:
        """The request; what is None is left out."""
        members = {
            "ImageName": image_name,
            "SortBy": self.sort_by,
            "SortOrder": self.sort_order,
            "MaxResults": self.page_size,
            "LastModifiedTimeAfter": _moment(self.modified_after),
            "LastModifiedTimeBefore": _moment(self.modified_before),
            "CreationTimeAfter": _moment(self.created_after),
            "CreationTimeBefore": _moment(self.created_before),
            "NextToken": token,
        }
        return {name: value for name, value in members.items() if value is not None}


def _moment(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)


VERSIONS = Question("VERSION", "ASCENDING", PAGE)


@dataclass(frozen=True, slots=True)
class Field:
    """One of the two times of a version: how it is read, sorted by, and filtered by."""

    name: str
    sort_by: str
    read: Callable[[ImageVersion], float]
    limited: Callable[[Question, int | None, int | None], Question]

    def ms(self, row: ImageVersion) -> int:
        """The time, UTC epoch milliseconds."""
        return epoch_ms(self.read(row))

    def question(self, *, after: int | None = None, before: int | None = None) -> Question:
        """The question for the versions within the limits, sorted by the field, the oldest first."""
        return self.limited(Question(self.sort_by, "ASCENDING", PAGE), after, before)


MODIFIED = Field(
    "LastModifiedTime",
    "LAST_MODIFIED_TIME",
    lambda row: row.LastModifiedTime,
    lambda question, after, before: replace(question, modified_after=after, modified_before=before),
)
CREATED = Field(
    "CreationTime",
    "CREATION_TIME",
    lambda row: row.CreationTime,
    lambda question, after, before: replace(question, created_after=after, created_before=before),
)
FIELDS = (MODIFIED, CREATED)


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: rows and token, or AWS's reason for refusing it. `date_ms` is the server's Date."""

    rows: tuple[ImageVersion, ...] = ()
    token: str | None = None
    refusal: str | None = None
    date_ms: int = 0

    @property
    def numbers(self) -> list[int]:
        """The versions' numbers, in their order."""
        return [row.Version for row in self.rows]


@dataclass(frozen=True, slots=True)
class Subject:
    """One image of a scope. `others` are names of further images; `rows` are the versions read so far, by number.

    `whole` says that all versions were read. `image` is its entry in the scope's list of images, which was read at
    `listed_ms` (UTC epoch milliseconds, AWS's clock).
    """

    calls: ScopeCalls
    scope: Scope
    image_name: str
    others: tuple[str, ...] = ()
    rows: tuple[ImageVersion, ...] = ()
    whole: bool = False
    image: Image | None = None
    listed_ms: int = 0

    def ask(self, question: Question, token: str | None = None, *, image_name: str | None = None) -> Page:
        """Request one page. Raises a TransientError or a FatalError if there is no answer."""
        parameters = question.parameters(image_name or self.image_name, token)
        try:
            answer = self.calls.list_image_versions_with(parameters)
        except SkippableError as error:
            return Page(refusal=self.refused(error))
        return Page(answer.body.ImageVersions, answer.body.NextToken, None, answer.date_ms)

    def read(self, question: Question, token: str | None = None) -> list[ImageVersion]:
        """Read all rows of a listing, or those of its first pages if it is long."""
        page = self.ask(question, token)
        rows = [*page.rows]
        for _ in range(_MOST_PAGES - 1):
            if page.token is None:
                break
            page = self.ask(question, page.token)
            rows += page.rows
        return rows

    def loaded(self) -> Subject:
        """Read the rows, and return the subject with them. Raises the error of a first page that is refused."""
        rows: list[ImageVersion] = []
        answer = self.calls.list_image_versions_with(VERSIONS.parameters(self.image_name, None))
        page = Page(answer.body.ImageVersions, answer.body.NextToken, None, answer.date_ms)
        for _ in range(_MOST_PAGES - 1):
            rows += page.rows
            if page.token is None:
                return replace(self, rows=tuple(rows), whole=True)
            page = self.ask(VERSIONS, page.token)
        return replace(self, rows=(*rows, *page.rows), whole=page.token is None)

    def attempt(self, call: Callable[[], Response]) -> Response | str:
        """What a call returns, or the text of its refusal."""
        try:
            return call()
        except SkippableError as error:
            return self.refused(error)

    def refused(self, error: ConnectorError) -> str:
        """AWS's reason, without the names of account and images."""
        return self.masked(error.message.partition(" failed: ")[2] or error.message)

    def masked(self, text: str) -> str:
        """The text without what names the user's account and images, so that it can be shown to others."""
        hidden = text.replace(self.scope.account_id, "ACCOUNT")
        for name in sorted({self.image_name, *self.others}, key=len, reverse=True):
            word = rf"(?<![A-Za-z0-9-]){re.escape(name)}(?![A-Za-z0-9-])"
            hidden = re.sub(word, "NAME", hidden, flags=re.IGNORECASE)
        return hidden


def numbers(rows: Sequence[ImageVersion]) -> list[int]:
    """The versions' numbers, in their order."""
    return [row.Version for row in rows]
