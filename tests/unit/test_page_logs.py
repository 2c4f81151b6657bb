"""What the page loop logs: each page at DEBUG, and skipped images."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from image_history.aws.bodies import Answer
from image_history.errors import ImageNotFoundError, LandingError
from image_history.listing.pages import PageRead, begin
from image_history.model import ListingKind, ListingRequest, PlannedStream, Scope, Stream
from tests.unit.fakes import (
    DATE_MS,
    FakeSource,
    answer,
    image,
    in_turn,
    page,
    read_scopes,
    scope_calls,
    version,
)

SCOPE = Scope("111122223333", "us-east-1")
STREAM = Stream(SCOPE, "base")
BEGINNING = begin(PlannedStream(STREAM, ListingRequest(ListingKind.FULL, 2)))


def test_page_is_logged_without_its_token(caplog: pytest.LogCaptureFixture) -> None:
    """At DEBUG, each page is one line with its stream, its number and its rows; no line has a token."""
    source = FakeSource(in_turn(page([version(1), version(2)], "secret-a"), page([version(3)])))
    with caplog.at_level(logging.DEBUG, logger="image_history"):
        assert read_scopes({SCOPE: scope_calls(source)}, lambda _: None, [BEGINNING]) == {}
    lines = [vars(record) for record in caplog.records if record.getMessage() == "page_read"]
    assert [
        (line["levelname"], line["stream"], line["page"], line["rows"], line["last"]) for line in lines
    ] == [
        ("DEBUG", str(STREAM), 1, 2, False),
        ("DEBUG", str(STREAM), 2, 1, True),
    ]
    assert "secret-a" not in str(lines)


def test_page_that_the_sink_refuses_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A page is logged after the sink took it."""

    def full(_: PageRead) -> None:
        raise LandingError("No space left on device.")

    calls = scope_calls(FakeSource(in_turn(page([version(1)]))))
    with caplog.at_level(logging.DEBUG, logger="image_history"), pytest.raises(LandingError):
        read_scopes({SCOPE: calls}, full, [BEGINNING])
    assert "page_read" not in caplog.text


@pytest.mark.parametrize(
    ("is_gone", "level"), [(True, "INFO"), (False, "WARNING")], ids=["deleted", "still-described"]
)
def test_deleted_image_is_no_warning(is_gone: bool, level: str, caplog: pytest.LogCaptureFixture) -> None:
    """An image that is gone is logged at INFO; one that cannot be listed although it is there is a warning."""

    def answering(operation: str, _: object) -> Answer[Any]:
        if operation == "ListImageVersions" or is_gone:
            raise ImageNotFoundError("no such image", date_ms=DATE_MS)
        return answer(image("base"))

    with caplog.at_level(logging.INFO, logger="image_history"):
        read_scopes({SCOPE: scope_calls(FakeSource(answering))}, lambda _: None, [BEGINNING])
    assert [
        (record.levelname, record.getMessage())
        for record in caplog.records
        if record.name.endswith("streams")
    ] == [(level, "stream_skipped")]
