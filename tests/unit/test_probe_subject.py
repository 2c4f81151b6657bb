"""The number of pages that a probe reads of one listing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

from image_history.aws.bodies import Answer, ImageVersionsBody
from image_history.checking.subject import VERSIONS, Subject
from image_history.extract.calls import ScopeCalls
from image_history.model import Scope


class Pages:
    """A listing of empty pages that counts the requests."""

    def __init__(self, pages: int) -> None:
        self.requests = 0
        self._pages = pages

    def list_image_versions_with(self, _: Mapping[str, object]) -> Answer[Any]:
        """The next page, with a token unless it is the last one."""
        self.requests += 1
        token = None if self.requests >= self._pages else f"after {self.requests}"
        return Answer(ImageVersionsBody((), token), "request", 0, 0)


@pytest.mark.parametrize(("pages", "requests"), [(1, 1), (9, 9), (10, 10), (11, 10), (40, 10)])
@pytest.mark.parametrize("read", [lambda subject: subject.read(VERSIONS), Subject.loaded])
def test_probe_requests_ten_pages_of_a_listing_at_most(read: Any, pages: int, requests: int) -> None:
    """A probe requests at most ten pages of a listing, because it uses the rows of no more."""
    made = Pages(pages)
    read(Subject(cast("ScopeCalls", made), Scope("111122223333", "us-east-1"), "base"))
    assert made.requests == requests
