"""New images with very many versions: read in windows of creation time, wherever AWS filters before it pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from image_history.errors import InterruptedRunError
from image_history.model import Stop
from image_history.run.pipeline import sync
from image_history.simulator import Behaviour, VersionRecord, VirtualClock, World
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_crash import EACH_PAGE, kill_after, landed

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
NAME = "base"
PAGE = 10


def image_of(versions: int, *, step_ms: int = 60_007, at_once: int = 1) -> World:
    """A world of one image, whose versions were created in groups of `at_once` at the same instant."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image(NAME)
    begin_ms = NOON_MS - (versions + 10) * max(step_ms, 1)
    for number in range(1, versions + 1):
        created_ms = begin_ms + number // at_once * step_ms
        world.put_version(
            NAME, VersionRecord(version=number, creation_ms=created_ms, last_modified_ms=created_ms + 365)
        )
    return world


def read(served: ServeWorld, world: World, **behaviour: Any) -> Site:
    """A site after its first sync, with pages of ten; the warehouse holds what is true."""
    site = served(world, Behaviour(**behaviour))
    site.sync(page_size=PAGE)
    site.assert_true()
    return site


def filtered(site: Site) -> int:
    """How many requests began a window."""
    return sum(
        "CreationTimeAfter" in record.parameters and "NextToken" not in record.parameters
        for record in site.simulator.counters.log
    )


def listed(site: Site) -> list[tuple[object, ...]]:
    """Pages and rows by coverage of the image's listing."""
    return site.ask("SELECT outcome, pages, rows FROM coverage WHERE image_name IS NOT NULL")


@pytest.mark.parametrize(
    ("at_once", "behaviour"),
    [
        pytest.param(1, {}, id="keyset"),
        pytest.param(25, {"tokens": "offset", "filters": "exclusive"}, id="offset-exclusive-in-groups"),
        pytest.param(25, {"tokens": "snapshot"}, id="snapshot-in-groups"),
    ],
)
def test_new_image_is_read_in_windows(served: ServeWorld, at_once: int, behaviour: dict[str, Any]) -> None:
    """However a filter takes its bound, and with many versions of one instant, every version comes once."""
    site = read(served, image_of(600, at_once=at_once), **behaviour)
    splits = filtered(site)
    calls = site.calls("ListImageVersions")
    assert splits >= 2
    assert calls <= 60 + splits
    assert site.calls("DescribeImageVersion") == 0
    assert listed(site) == [("complete", calls, 600)]


def test_windows_of_evenly_created_versions_cost_hardly_a_call_more(served: ServeWorld) -> None:
    """5,000 versions take at most 3.6 % more calls than their 50 pages."""
    site = served(image_of(5_000))
    site.sync()
    site.assert_true()
    assert filtered(site) >= 2
    assert site.calls("ListImageVersions") <= 50 * 1.036


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param({"filtering": "page_then_filter"}, id="page-then-filter"),
        pytest.param({"filters": "ignored", "tokens": "offset"}, id="ignored"),
    ],
)
def test_useless_filter_is_tried_once(served: ServeWorld, behaviour: dict[str, Any]) -> None:
    """Where AWS filters after it pages, or not at all, one call is lost and the chain is read as ever."""
    site = read(served, image_of(800), **behaviour)
    assert filtered(site) == 1
    assert site.calls("ListImageVersions") == 81
    assert listed(site) == [("complete", 80, 800)]


def test_versions_of_one_instant_are_read_in_one_chain(served: ServeWorld) -> None:
    """Where no second lies between any two versions, no filter is sent, and no call is lost."""
    site = read(served, image_of(250, step_ms=0))
    assert filtered(site) == 0
    assert site.calls("ListImageVersions") == 25


def test_slow_rate_is_left_to_one_chain(served: ServeWorld) -> None:
    """Where the rate allows less than two calls at a time, windows would win nothing."""
    site = served(image_of(250))
    config = {"rate": type(site.config.rate)(list_per_second=60, describe_per_second=10)}
    site.sync(page_size=PAGE, **config)
    assert filtered(site) == 0
    assert site.calls("ListImageVersions") == 25


def at_call(site: Site, number: int, work: Callable[[], None]) -> None:
    """Do something once so many list calls were answered."""
    left = [work]

    async def watch(_: object, __: object) -> None:
        if site.calls("ListImageVersions") >= number and left:
            left.pop()()

    site.simulator.fault = watch


def test_killed_windows_go_on_without_reading_a_landed_page_again(served: ServeWorld) -> None:
    """After kill -9 every window goes on from its own token, and the listing's start is not asked for again."""
    site = served(image_of(600), Behaviour(latency_ms=15))
    site.environment = {**site.environment, "IMAGE_HISTORY_PAGE_SIZE": str(PAGE)}
    kill_after(site, 48)
    run = landed(site)
    assert run is not None
    (mark,) = run.checkpoints.values()
    assert len(mark.windows) > 2
    site.simulator.counters.reset()
    assert site.run("sync", **EACH_PAGE).returncode == 0
    log = [record for record in site.simulator.counters.log if record.operation == "ListImageVersions"]
    tokens = [record.parameters["NextToken"] for record in log if "NextToken" in record.parameters]
    assert {window.next_token for window in mark.windows if window.next_token} <= set(tokens)
    assert len(tokens) == len(set(tokens))
    assert len(log) - len(tokens) == filtered(site)
    assert mark.pages + len(log) <= 60 + len(mark.windows) + filtered(site)
    site.assert_true()
    assert site.ask("SELECT count(*) FROM image_version_events") == [(600,)]


def test_interrupted_windows_go_on(served: ServeWorld) -> None:
    """A stop in the middle of windows keeps what all of them have read."""
    site = served(image_of(600))
    stop = Stop()
    at_call(site, 30, lambda: stop.request(15))
    with pytest.raises(InterruptedRunError):
        sync(msgspec.structs.replace(site.config, page_size=PAGE, checkpoint_rows=1), stop=stop)
    site.simulator.fault = None
    site.sync(page_size=PAGE)
    assert site.calls("ListImageVersions") < 45
    site.assert_true()


def test_deletions_while_windows_are_read_lose_nothing(served: ServeWorld) -> None:
    """Deleted before, between and behind what is read: nothing that exists is lacking, and the next syncs agree."""
    world = image_of(600)
    site = served(world, Behaviour(tokens="offset"))

    def shrink() -> None:
        for number in (3, 118, 119, 300, 301, 450, 599, 600):
            world.delete_version(NAME, number)

    at_call(site, 25, shrink)
    site.sync(page_size=PAGE)
    site.simulator.fault = None
    stored = {row[0] for row in site.ask("SELECT version FROM image_versions WHERE etl_deleted_at IS NULL")}
    assert stored >= {row.version for row in world.truth()}
    site.sync(page_size=PAGE, full=True)
    site.assert_true()


def test_versions_created_while_windows_are_read_come_by_the_next_sync(served: ServeWorld) -> None:
    """What is new behind the end that the windows began with has a later change time than the watermark."""
    world = image_of(600)
    site = served(world)

    def grow() -> None:
        site.simulator.clock.advance(5_000)
        for number in (2, 400, 600):
            world.update_version(NAME, number)
        world.create_version(NAME)

    at_call(site, 25, grow)
    site.sync(page_size=PAGE)
    site.simulator.fault = None
    site.simulator.clock.advance(5_000)
    site.sync(page_size=PAGE)
    site.assert_true()
