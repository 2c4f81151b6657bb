"""The saved queries and views on history: each returns the correct rows for a world whose changes are known."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import pytest

from image_history.simulator import VersionRecord, VirtualClock, World
from image_history.warehouse.asking import asking
from image_history.warehouse.saved import saved
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
IMAGE = "churn-training"


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """A site with one empty image and a clock frozen at the current time, because the queries use DuckDB's clock."""
    now_ms = time.time_ns() // 1_000_000
    site = served(World(clock=VirtualClock(frozen_at=now_ms)))
    site.world.create_image(IMAGE)
    return site


def put(site: Site, version: int, status: str, *, born_ms: int, changed_ms: int) -> None:
    """Give the image a version that was created `born_ms` ago and last changed `changed_ms` ago."""
    now_ms = site.simulator.clock.now_ms()
    record = VersionRecord(
        version=version,
        creation_ms=now_ms - born_ms,
        last_modified_ms=now_ms - changed_ms,
        status=status,
    )
    site.world.put_version(IMAGE, record)


def answers(site: Site, name: str, **given: str) -> list[dict[str, object]]:
    """The rows of a saved query."""
    with asking(WarehouseFile(site.config.warehouse), saved(name).question(given)) as answer:
        return [row for batch in answer for row in batch.to_pylist()]


def test_deleted_lately_tells_when_and_how_it_was_proved(site: Site) -> None:
    """A deletion is returned with its evidence and the interval in which it happened; a returned version is not."""
    for number in (1, 2, 3):
        put(site, number, "CREATED", born_ms=DAY_MS, changed_ms=DAY_MS - 400)
    site.sync()
    seen = second_of(site)
    site.simulator.clock.advance(HOUR_MS)
    site.world.delete_version(IMAGE, 1)
    site.world.delete_version(IMAGE, 2)
    site.simulator.clock.advance(HOUR_MS)
    site.sync()
    missed = second_of(site)
    site.simulator.clock.advance(HOUR_MS)
    put(site, 2, "CREATED", born_ms=DAY_MS + 3 * HOUR_MS, changed_ms=DAY_MS + 3 * HOUR_MS - 400)
    site.sync()
    (row,) = answers(site, "deleted-lately")
    assert (row["version"], row["last_status"], row["evidence"]) == (1, "CREATED", "describe_not_found")
    # One second before the Date of the last answer that had it, and one after that of the answer that lacked it.
    second = timedelta(seconds=1)
    assert (row["last_seen_at"], row["gone_since"]) == (seen - second, missed + second)
    assert answers(site, "deleted-lately", days="0") == []


def second_of(site: Site) -> datetime:
    """The frozen time of the simulated AWS, as the header Date has it: without a fraction of a second."""
    return datetime.fromtimestamp(site.simulator.clock.now_ms() // 1000, UTC)


def test_churn_by_week_counts_by_the_time_at_aws(site: Site) -> None:
    """Weeks begin on Monday in UTC; a version that the first sync finds counts in the week of its creation."""
    for number, days in ((1, 21), (2, 21), (3, 1)):
        put(site, number, "CREATED", born_ms=days * DAY_MS, changed_ms=days * DAY_MS - 400)
    site.sync()
    site.world.set_status(IMAGE, 3, "CREATE_FAILED")
    site.sync()
    rows = answers(site, "churn-by-week")
    now = datetime.fromtimestamp(site.simulator.clock.now_ms() / 1000, UTC)
    assert sum(int(str(row["created"])) for row in rows) == 3
    assert sum(int(str(row["modified"])) for row in rows) == 1
    weeks = [row["week"] for row in rows]
    assert weeks == sorted(weeks, key=str, reverse=True)
    assert {datetime.fromisoformat(str(week)).weekday() for week in weeks} == {0}
    assert (now.date() - datetime.fromisoformat(str(weeks[-1])).date()).days >= 21
    assert answers(site, "churn-by-week", weeks="1") == rows[:1]


def test_time_to_created_takes_the_first_time_that_it_was_created(site: Site) -> None:
    """The time runs from the creation to the first CREATED; later changes and failed versions do not count."""
    put(site, 1, "CREATED", born_ms=2 * DAY_MS, changed_ms=2 * DAY_MS - 10_000)
    put(site, 2, "CREATING", born_ms=60_000, changed_ms=60_000)
    put(site, 3, "CREATE_FAILED", born_ms=60_000, changed_ms=0)
    site.sync()
    site.world.set_status(IMAGE, 2, "CREATED")
    site.world.set_status(IMAGE, 1, "CREATED")
    site.sync()
    site.simulator.clock.advance(HOUR_MS)
    site.world.set_status(IMAGE, 2, "CREATED")
    site.sync()
    (row,) = answers(site, "time-to-created")
    assert (row["image_name"], row["versions"], row["watched"]) == (IMAGE, 2, 1)
    assert (row["median_seconds"], row["longest_seconds"], row["longest_version"]) == (35.0, 60.0, 2)


def test_stuck_versions_are_those_that_pass_for_long(site: Site) -> None:
    """A version is stuck if it is CREATING or DELETING for longer than the given hours; a failed version is not."""
    put(site, 1, "CREATING", born_ms=30 * HOUR_MS, changed_ms=30 * HOUR_MS)
    put(site, 2, "DELETING", born_ms=90 * HOUR_MS, changed_ms=25 * HOUR_MS)
    put(site, 3, "CREATING", born_ms=2 * HOUR_MS, changed_ms=2 * HOUR_MS)
    put(site, 4, "CREATE_FAILED", born_ms=90 * HOUR_MS, changed_ms=90 * HOUR_MS)
    site.sync()
    rows = answers(site, "stuck-versions")
    assert [(row["version"], row["image_version_status"], row["hours"]) for row in rows] == [
        (1, "CREATING", 30),
        (2, "DELETING", 25),
    ]
    assert [row["version"] for row in answers(site, "stuck-versions", hours="1")] == [1, 2, 3]


def test_stale_images_had_no_new_version_for_180_days(site: Site) -> None:
    """An image is stale if its newest live version is over 180 days old; a deleted image is not listed."""
    put(site, 1, "CREATED", born_ms=400 * DAY_MS, changed_ms=400 * DAY_MS)
    put(site, 2, "CREATED", born_ms=181 * DAY_MS, changed_ms=1 * DAY_MS)
    site.sync()
    ask = "SELECT image_name, newest_version, newest_status, days, live_versions FROM stale_images"
    assert site.ask(ask) == [(IMAGE, 2, "CREATED", 181, 2)]
    put(site, 3, "CREATED", born_ms=179 * DAY_MS, changed_ms=179 * DAY_MS)
    site.sync()
    assert site.ask(ask) == []
    site.world.delete_version(IMAGE, 3)
    site.sync()
    assert site.ask(ask) == [(IMAGE, 2, "CREATED", 181, 2)]
    site.world.delete_image(IMAGE)
    site.sync()
    assert site.ask(ask) == []


def test_image_without_versions_is_stale_by_its_own_age(served: ServeWorld) -> None:
    """An image without a live version is stale if the image itself is over 180 days old."""
    world = World(clock=VirtualClock(frozen_at=time.time_ns() // 1_000_000 - 181 * DAY_MS))
    world.create_image("emptied")
    world.create_image("empty")
    world.clock.advance(2 * DAY_MS)
    world.create_image("young")
    world.clock.advance(179 * DAY_MS)
    number = world.create_version("emptied")
    site = served(world)
    site.sync()
    ask = (
        "SELECT image_name, newest_version, newest_status, days, live_versions FROM stale_images ORDER BY ALL"
    )
    assert site.ask(ask) == [("empty", None, None, 181, 0)]
    site.world.delete_version("emptied", number)
    site.sync()
    assert site.ask(ask) == [("emptied", None, None, 181, 0), ("empty", None, None, 181, 0)]


def test_image_version_changes_can_be_asked_in_sql(site: Site) -> None:
    """The macro image_version_changes, which `diff` uses, accepts any two instants in SQL."""
    put(site, 1, "CREATED", born_ms=DAY_MS, changed_ms=DAY_MS)
    site.sync()
    assert site.ask("SELECT version, change FROM image_version_changes('2020-01-01', now())") == [
        (1, "created")
    ]
    assert site.ask("FROM image_version_changes(now(), now() + INTERVAL 1 DAY)") == []
