"""When two readings of a listing agree: the cases that the model found, over real HTTP and with the real SQL."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest

from image_history.model import Outcome
from image_history.simulator import Behaviour, Exchange, VirtualClock, World
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_deletions import deny

if TYPE_CHECKING:
    from aiohttp import web

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
NAME = "base"


def site_of(served: ServeWorld, *, versions: int) -> Site:
    """One image with this many versions, created ten seconds apart; page tokens are row offsets."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    site = served(world, Behaviour(tokens="offset"))
    world.create_image(NAME)
    for _ in range(versions):
        world.create_version(NAME)
        site.simulator.clock.advance(10_000)
    return site


def after_page(
    site: Site, sort_by: str, act: Callable[[], None], *, denied: str | None = None, number: int = 1
) -> None:
    """Call `act` at the `number`-th page in this sort order, while the operation `denied` is denied."""
    left = [number]

    async def fault(request: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation == "ListImageVersions" and f'"{sort_by}"'.encode() in exchange.request_body:
            left[0] -= 1
            if left[0] == 0:
                act()
        return await deny(denied)(request, exchange) if denied is not None else None

    site.simulator.fault = fault


def test_image_without_versions_is_settled_where_describe_is_denied(served: ServeWorld) -> None:
    """If Describe is denied, two empty readings agree: all versions of the image are marked as deleted."""
    site = site_of(served, versions=3)
    site.sync()
    for number in (1, 2, 3):
        site.world.delete_version(NAME, number)
    site.simulator.fault = deny("DescribeImageVersion")
    report = site.sync()
    assert (report.outcome, report.rows.deleted) == (Outcome.COMPLETE, 3)
    assert site.calls("ListImageVersions") == 2
    # Once for each number: the second round knows that the call is denied.
    assert site.calls("DescribeImageVersion") == 3
    site.assert_true()


def test_full_listing_does_not_agree_with_an_incremental_one(served: ServeWorld) -> None:
    """A version that an incremental listing need not contain, and that a full one skips, is not marked as deleted."""
    site = site_of(served, versions=5)
    site.sync(page_size=2)
    site.simulator.clock.advance(3_600_000)
    for number in (1, 2):
        site.world.update_version(NAME, number)
    for _ in range(3):
        site.world.create_version(NAME)
    site.world.delete_version(NAME, 6)
    site.world.update_version(NAME, 4)
    site.world.update_version(NAME, 5)
    # Describe of version 6 is denied, so the listing is read in full; version 3 is skipped after its first page.
    drop = partial(site.world.delete_version, NAME, 1)
    after_page(site, "VERSION", drop, denied="DescribeImageVersion")
    site.sync(page_size=2, lookback=timedelta(0))
    assert site.ask("SELECT version FROM image_versions WHERE etl_deleted_at IS NOT NULL") == [(1,)]
    site.assert_true()


@pytest.mark.parametrize("deleted_after", [1, 2])
def test_incremental_listing_of_several_pages_misses_nothing(served: ServeWorld, deleted_after: int) -> None:
    """A deletion during an incremental listing of several pages hides no change from the warehouse."""
    site = site_of(served, versions=6)
    site.sync(page_size=2)
    site.simulator.clock.advance(3_600_000)
    for number in (1, 2, 3, 4, 5):
        site.world.update_version(NAME, number)
        site.simulator.clock.advance(1000)
    site.simulator.clock.advance(5000)
    drop = partial(site.world.delete_version, NAME, 5)
    after_page(site, "LAST_MODIFIED_TIME", drop, number=deleted_after)
    site.sync(page_size=2)
    site.simulator.fault = None
    assert site.calls("ListImageVersions") > 6
    site.simulator.clock.advance(3_600_000)
    site.sync(page_size=2)
    truth = {(row.version, row.last_modified_ms) for row in site.world.truth()}
    stored = site.ask("SELECT version, epoch_ms(last_modified_time) FROM image_versions WHERE version <> 5")
    assert set(stored) == truth
