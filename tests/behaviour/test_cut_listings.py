"""A listing that is cut short, for any reason, deletes nothing; the next complete listing finds the deletions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

import msgspec
import pytest

from image_history.config import Retry
from image_history.errors import InterruptedRunError
from image_history.model import Outcome, Stop
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import Exchange, Fault, VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_deletions import tombstones

if TYPE_CHECKING:
    from aiohttp import web

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000
GONE = (3, 9)
BODIES = {
    "html": b"<html><body>Welcome to our hotel</body></html>",
    "empty": b"",
    "empty-object": b"{}",
    "null-list": b'{"ImageVersions":null}',
    "null-item": b'{"ImageVersions":[null]}',
    "cut": b'{"ImageVersions":[{"Version":',
    "error-shaped": b'{"__type":"InternalFailure"}',
}


def synced(served: ServeWorld) -> Site:
    """A site whose largest image has three pages, synced once."""
    clock = VirtualClock(frozen_at=NOON_MS)
    site = served(generate(23, images=2, versions_per_image=3, largest=13, clock=clock))
    quick = Retry(attempts=2, max_wait=timedelta(milliseconds=5))
    site.config = msgspec.structs.replace(site.config, page_size=5, retry=quick)
    site.sync()
    return site


class Cutting:
    """A site whose largest image has three pages and has lost two versions since the last sync."""

    def __init__(self, served: ServeWorld) -> None:
        self.site = served.once("cut-listings", lambda: synced(served))
        rows = [row.image_name for row in self.site.world.truth()]
        self.name = max(rows, key=rows.count)
        self.before = self.site.stored()
        self.site.simulator.clock.advance(HOUR_MS)
        for number in GONE:
            self.site.world.delete_version(self.name, number)

    def from_page(self, page: int, reply: Callable[[Exchange], web.Response]) -> None:
        """Replace the answers for the image's pages, from this page of each listing on."""
        reached = [0]

        async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
            if exchange.operation != "ListImageVersions" or exchange.image_name != self.name:
                return None
            reached[0] = reached[0] + 1 if b"NextToken" in exchange.request_body else 1
            return reply(exchange) if reached[0] >= page else None

        self.site.simulator.fault = fault

    def assert_nothing_deleted(self) -> None:
        """Every stored row is still there, and none is marked as deleted."""
        assert tombstones(self.site) == []
        assert self.site.ask("SELECT count(*) FROM image_version_events WHERE etl_change = 'deleted'") == [
            (0,)
        ]
        assert self.before <= self.site.stored()

    def assert_whole_listing_tells(self) -> None:
        """Without the fault, the next full sync marks exactly the deleted versions."""
        self.site.simulator.fault = None
        self.site.simulator.clock.advance(HOUR_MS)
        assert self.site.sync(full=True).outcome is Outcome.COMPLETE
        assert [row[:2] for row in tombstones(self.site)] == [(self.name, number) for number in GONE]
        self.site.assert_true()


@pytest.fixture
def cutting(served: ServeWorld) -> Cutting:
    """A site whose listings a test cuts short."""
    return Cutting(served)


def response(status: int, body: bytes) -> Callable[[Exchange], web.Response]:
    """An answer with this status and body, and with the headers of the answer that it replaces."""
    from aiohttp import web

    return lambda exchange: web.Response(status=status, headers=exchange.headers, body=body)


def refused(code: str) -> Callable[[Exchange], web.Response]:
    """An error response of AWS."""
    return response(400, msgspec.json.encode({"__type": code, "message": "said by the test"}))


def test_malformed_page_deletes_nothing(cutting: Cutting) -> None:
    """A malformed body with status 200, on any page, fails the stream and deletes nothing."""
    for page, body in ((1, "html"), (3, "html"), *((2, body) for body in BODIES)):
        cutting.from_page(page, response(200, BODIES[body]))
        report = cutting.site.sync(full=True)
        assert [failure.error_code for failure in report.failures] == ["MalformedResponseError"], body
        cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()


def test_denied_call_deletes_nothing(cutting: Cutting) -> None:
    """If any page of a listing is denied, nothing is deleted."""
    for page in (1, 2, 3):
        cutting.from_page(page, refused("AccessDeniedException"))
        report = cutting.site.sync(full=True)
        assert [failure.outcome for failure in report.failures] == [Outcome.DENIED], page
        cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()


def test_vanished_token_deletes_nothing(cutting: Cutting) -> None:
    """If AWS rejects every token, the listing is read five times, then the stream fails and nothing is deleted."""
    for page in (2, 3):
        cutting.from_page(page, refused("ValidationException"))
        report = cutting.site.sync(full=True)
        assert [failure.outcome for failure in report.failures] == [Outcome.FAILED], page
        assert cutting.site.calls("ListImageVersions", cutting.name) == 5 * page
        cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()


@pytest.mark.parametrize("page", [2, 3])
def test_list_that_ends_too_early_deletes_nothing_that_lives(cutting: Cutting, page: int) -> None:
    """An empty last page in place of a page deletes no live version."""
    cutting.from_page(page, response(200, b'{"ImageVersions":[]}'))
    cutting.site.sync(full=True)
    living = {row for row in cutting.before if row[2] != cutting.name or row[3] not in GONE}
    assert living <= cutting.site.stored()
    cutting.assert_whole_listing_tells()


def test_missing_image_that_exists_deletes_nothing(cutting: Cutting) -> None:
    """If a listing calls an image missing but DescribeImage finds it, the stream fails and nothing is deleted."""
    cutting.from_page(2, refused("ResourceNotFound"))
    report = cutting.site.sync(full=True)
    assert [failure.outcome for failure in report.failures] == [Outcome.FAILED]
    cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()


@pytest.mark.parametrize("code", ["InternalFailure", "ValidationException"])
def test_unanswered_describe_deletes_nothing(cutting: Cutting, code: str) -> None:
    """If Describe fails for one suspect, the stream fails, and no suspect of the image is deleted."""

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "DescribeImageVersion" or b": 9" not in exchange.request_body:
            return None
        return refused(code)(exchange)

    cutting.site.simulator.fault = fault
    report = cutting.site.sync(full=True)
    assert [failure.outcome for failure in report.failures] == [Outcome.FAILED]
    cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()


def on_page(cutting: Cutting, page: int, act: Callable[[], None]) -> Fault:
    """A fault that calls `act` when this page of the image is answered, and does not change the answer."""
    reached = [0]

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation == "ListImageVersions" and exchange.image_name == cutting.name:
            reached[0] += 1
            if reached[0] == page:
                act()
        return None

    return fault


@pytest.mark.parametrize("page", [1, 2, 3])
def test_interrupted_listing_deletes_nothing(cutting: Cutting, page: int) -> None:
    """A run that is stopped during a listing deletes nothing, and neither does the sync that loads its rows."""
    stop = Stop()
    cutting.site.simulator.fault = on_page(cutting, page, lambda: stop.request(15))
    with pytest.raises(InterruptedRunError):
        sync(cutting.site.config, options=SyncOptions(full=True), stop=stop)
    cutting.site.simulator.fault = None
    cutting.assert_nothing_deleted()
    # A plain sync does not continue a full run: it loads the full run's rows, and lists the image incrementally.
    cutting.site.sync()
    cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()


@pytest.mark.parametrize("page", [1, 2, 3])
def test_killed_listing_deletes_nothing(cutting: Cutting, page: int) -> None:
    """A kill -9 during a listing deletes nothing, and neither does the sync that loads the read rows."""
    reached, killed = threading.Event(), threading.Event()

    def hold() -> None:
        reached.set()
        killed.wait(60)

    cutting.site.simulator.fault = on_page(cutting, page, hold)
    process = cutting.site.command(
        "sync", "--full", IMAGE_HISTORY_CHECKPOINT_ROWS="1", IMAGE_HISTORY_PAGE_SIZE="5"
    )
    assert reached.wait(60)
    process.kill()
    process.communicate()
    killed.set()
    cutting.site.simulator.fault = None
    cutting.assert_nothing_deleted()
    assert cutting.site.sync().pending_runs == 1
    cutting.assert_nothing_deleted()
    cutting.assert_whole_listing_tells()
