"""`image-history plan`: the calls of the next sync, forecast with calls for the lists of images only."""

from __future__ import annotations

import json
import os
import random
import signal
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import duckdb
import msgspec
import pytest

from image_history.cli import run
from image_history.cli.plan import _continued
from image_history.config import Account
from image_history.errors import InterruptedRunError, WarehouseLockedError
from image_history.extract.expand import find_targets
from image_history.forecast.estimate import OPERATIONS, Listing, Reason, Span, total_calls
from image_history.forecast.forecasting import Forecast, Unloaded, forecast
from image_history.landing.runs import Landing
from image_history.model import Stop
from image_history.run.listing import Silent
from image_history.run.pipeline import sync
from image_history.run.planning import Opened, Planning, SyncOptions, open_scopes
from image_history.simulator import VersionRecord, VirtualClock, World, generate
from image_history.warehouse.identity import warehouse_id
from image_history.warehouse.loader import known
from image_history.warehouse.warehouse import WarehouseFile, now_ms
from tests.behaviour.asking import Answered
from tests.behaviour.checking import sync_cut_short
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_refusals import held
from tests.behaviour.test_scopes import deny_images_in

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def world_of(**images: int) -> World:
    """Images with these numbers of versions, created an hour apart, or all at once if named burst-..."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    for name, count in images.items():
        world.create_image(name.replace("_", "-"))
        for number in range(count):
            made_ms = NOON_MS - (0 if name.startswith("burst") else (count - number) * HOUR_MS)
            record = VersionRecord(
                version=number + 1, creation_ms=made_ms, last_modified_ms=made_ms, status="CREATED"
            )
            world.put_version(name.replace("_", "-"), record)
    return world


def of_one_large(served: ServeWorld) -> Site:
    """A synced site with one image of three pages."""

    def make() -> Site:
        site = served(world_of(large=250))
        site.sync()
        return site

    return served.once("plan-large", make)


def foreseen(site: Site, **options: object) -> Forecast:
    """The forecast, which calls AWS only for identities and lists of images."""
    site.simulator.counters.reset()
    found = forecast(site.config, options=SyncOptions(**options))  # type: ignore[arg-type]  # a test's own
    assert set(site.simulator.counters.totals().calls) <= {"ListImages", "GetCallerIdentity"}
    return found


def lists(found: Forecast) -> Span:
    """The planned calls of ListImageVersions."""
    return total_calls(found.scopes)["ListImageVersions"]


def reasons(found: Forecast) -> dict[Reason, tuple[str, ...]]:
    """The reasons why figures of the only scope are ranges."""
    (scope,) = found.scopes
    return dict(scope.reasons)


def assert_foreseen(site: Site, found: Forecast, **options: object) -> None:
    """A sync makes as many calls of each operation as planned, or a number in the planned range."""
    report = site.sync(**options)
    for operation, span in total_calls(found.scopes).items():
        made = site.calls(operation)
        assert span.low <= made, operation
        assert span.high is None or made <= span.high, operation
        assert report.calls.of(operation) >= made


def assert_recorded(site: Site, found: Forecast) -> None:
    """The newest row of runs has exactly the planned calls."""
    columns = (
        "list_images_calls, list_image_versions_calls, describe_image_calls, describe_image_version_calls"
    )
    (row,) = site.ask(f"SELECT {columns} FROM runs ORDER BY finished_at DESC LIMIT 1")
    assert [Span.of(int(str(made))) for made in row] == [
        total_calls(found.scopes)[operation] for operation in OPERATIONS
    ]


@dataclass(frozen=True, slots=True)
class Case:
    """The change before a sync, the sync's options, and the expected kinds of listing and number of calls."""

    before: Callable[[Site], object]
    options: dict[str, object]
    listings: dict[Listing, int]
    lists: int


def nothing(_: Site) -> None:
    """Change nothing."""


def days_go_by(site: Site) -> None:
    """Let more time pass than reconcile_every."""
    site.simulator.clock.advance(48 * HOUR_MS)


def versions_go(site: Site) -> None:
    """Delete versions, and let a sync prove that their numbers are absent."""
    for version in (3, 4, 117):
        site.world.delete_version("large", version)
    days_go_by(site)
    site.sync()


def images_vanish(site: Site) -> None:
    """Delete one image of one page, and one of several pages."""
    site.world.delete_image("small")
    site.world.delete_image("burst-large")


CASES = {
    "quiet one page, quiet incremental, after bursts": Case(
        # One call each for small, page, large and burst-page; burst-large has three pages, which are read twice.
        nothing,
        {},
        {Listing.ONE_PAGE: 1, Listing.INCREMENTAL: 4},
        1 + 1 + 1 + 1 + 6,
    ),
    "chosen image": Case(nothing, {"images": ("larg*",)}, {Listing.INCREMENTAL: 1}, 1),
    "reconcile": Case(days_go_by, {}, {Listing.ONE_PAGE: 1, Listing.RECONCILE: 4}, 9),
    "full": Case(nothing, {"full": True}, {Listing.ONE_PAGE: 1, Listing.FULL: 4}, 9),
    "absent numbers": Case(versions_go, {"full": True}, {Listing.ONE_PAGE: 1, Listing.FULL: 4}, 9),
    "vanished images": Case(
        images_vanish, {}, {Listing.INCREMENTAL: 1, Listing.RECONCILE: 2, Listing.VANISHED: 2}, 5
    ),
}


def test_calls_made_are_the_calls_planned_in_every_case(served: ServeWorld) -> None:
    """If nothing changes meanwhile, a sync makes exactly the planned calls of each operation."""
    site = served(world_of(small=20, page=100, large=250, burst_page=100, burst_large=250))
    site.sync()
    for name, case in CASES.items():
        case.before(site)
        found = foreseen(site, **case.options)
        assert dict(found.scopes[0].listings) == case.listings, name
        assert reasons(found) == {}, name
        assert lists(found) == Span.of(case.lists), name
        site.sync(**case.options)
        assert_recorded(site, found)


def leave_a_gap(site: Site, missing: int) -> None:
    """Leave so many numbers unexplained: versions that are deleted unlisted, before a listing that is cut short."""
    gone = [site.world.create_version("large") for _ in range(missing)]
    for _ in range(100):
        site.simulator.clock.advance(1000)
        site.world.create_version("large")
    for number in gone:
        site.world.delete_version("large", number)
    site.simulator.clock.advance(HOUR_MS)
    sync_cut_short(site, "large")


@pytest.mark.parametrize("options", [{}, {"full": True}], ids=["plain", "full"])
@pytest.mark.parametrize("absent", [0, 50])
@pytest.mark.parametrize("missing", [1, 20])
def test_numbers_that_are_unaccounted_for_make_a_range(
    served: ServeWorld, missing: int, absent: int, options: dict[str, bool]
) -> None:
    """Unexplained numbers make the plan a range, and the sync's calls are within it, for few numbers and for many."""
    world = world_of(large=250)
    for number in range(10, 10 + absent):
        world.delete_version("large", number)
    site = served(world)
    # A listing that begins when the image is created proves nothing certain about this life.
    site.simulator.clock.advance(HOUR_MS)
    site.sync()
    leave_a_gap(site, missing)
    found = foreseen(site, **options)
    assert reasons(found) == {Reason.UNEXPLAINED: ("large",)}
    assert_foreseen(site, found, **options)
    assert site.calls("DescribeImageVersion") == (1 if missing == 1 else 0)


@pytest.mark.parametrize("options", [{}, {"full": True}], ids=["plain", "full"])
@pytest.mark.parametrize("new", [105, 600])
def test_versions_that_a_cut_listing_left_behind_are_within_the_range(
    served: ServeWorld, new: int, options: dict[str, bool]
) -> None:
    """If a listing that was cut short left out new versions, the calls for their pages are within the range."""
    site = served(world_of(large=250))
    site.sync()
    for _ in range(new):
        site.simulator.clock.advance(1000)
        site.world.create_version("large")
    site.simulator.clock.advance(HOUR_MS)
    sync_cut_short(site, "large")
    found = foreseen(site, **options)
    assert reasons(found) == {Reason.UNEXPLAINED: ("large",)}
    assert_foreseen(site, found, **options)
    site.assert_true()


@pytest.mark.parametrize("before", [0, None])
@pytest.mark.parametrize("options", [{}, {"full": True}], ids=["plain", "full"])
def test_gap_that_an_earlier_version_did_not_count_is_planned_for(
    served: ServeWorld, before: int | None, options: dict[str, bool]
) -> None:
    """If an earlier version counted no gap, the plan has a range for it, although `plan` runs no migration."""
    site = served(world_of(large=250))
    site.sync()
    leave_a_gap(site, 20)
    with duckdb.connect(site.config.warehouse) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE number >= 9")
        connection.execute("ALTER TABLE image_version_events DROP COLUMN etl_described_at")
        connection.execute("UPDATE streams SET unexplained = $before", {"before": before})
    found = foreseen(site, **options)
    assert reasons(found) == {Reason.UNEXPLAINED: ("large",)}
    assert_foreseen(site, found, **options)


@pytest.mark.parametrize("_", range(4))
def test_calls_are_within_the_range_whatever_was_cut_and_deleted(
    served: ServeWorld, rng: random.Random, _: int
) -> None:
    """After random listings that were cut short and random deletions, the sync's calls are within the range."""
    site = served(world_of(large=rng.randint(21, 60)))
    site.config = msgspec.structs.replace(site.config, page_size=10)
    site.sync()
    for _ in range(rng.randint(1, 3)):
        made = []
        for _ in range(rng.randint(1, 40)):
            site.simulator.clock.advance(rng.choice([0, 1000, 600_000]))
            made.append(site.world.create_version("large"))
        for number in made[:-1]:
            if rng.random() < rng.choice([0.1, 0.5]):
                site.world.delete_version("large", number)
        site.simulator.clock.advance(HOUR_MS * rng.randint(1, 3))
        if rng.random() < 0.7:
            sync_cut_short(site, "large")
        else:
            site.sync()
    options: dict[str, bool] = {"full": True} if rng.random() < 0.25 else {}
    found = foreseen(site, **options)
    assert_foreseen(site, found, **options)


def test_deletions_that_an_incremental_listing_misses_are_a_caveat(served: ServeWorld) -> None:
    """The plan names images with deletions that only a full listing finds; each may cost a DescribeImageVersion."""
    site = served(world_of(small=20, large=250))
    site.sync()
    site.simulator.clock.advance(HOUR_MS)
    site.world.delete_version("large", 120)
    site.sync()
    found = foreseen(site, full=True)
    assert dict(found.scopes[0].caveats) == {Reason.DELETIONS: ("large",)}
    site.sync(full=True)
    assert lists(found) == Span.of(site.calls("ListImageVersions"))
    assert site.calls("DescribeImageVersion") == 1


def test_first_sync_is_a_range_from_one_call_an_image(served: ServeWorld) -> None:
    """A first sync is planned as at least one call for each image, with the reason that the images are new."""
    site = served(world_of(one=7, two=99, three=250))
    found = foreseen(site)
    assert dict(found.scopes[0].listings) == {Listing.NEW: 3}
    assert lists(found) == Span(3, None)
    assert reasons(found) == {Reason.NEW: ("one", "three", "two")}
    assert found.seconds.high is None
    assert_foreseen(site, found)
    assert site.calls("ListImageVersions") == 5


@pytest.mark.parametrize("options", [{}, {"full": True}], ids=["plain", "full"])
@pytest.mark.parametrize("details", [False, True], ids=["without details", "with details"])
@pytest.mark.parametrize("new", [0, 3, 450])
def test_recreated_image_is_planned_as_a_range(
    served: ServeWorld, new: int, details: bool, options: dict[str, bool]
) -> None:
    """The stored versions say nothing of an image that was deleted and created again since the last sync."""
    site = served(world_of(small=20, large=250))
    site.config = msgspec.structs.replace(site.config, details=details)
    site.sync()
    site.simulator.clock.advance(HOUR_MS)
    for name in ("small", "large"):
        site.world.delete_image(name)
        site.world.create_image(name)
        for _ in range(new):
            site.world.create_version(name)
    site.simulator.clock.advance(HOUR_MS)
    found = foreseen(site, **options)
    assert dict(found.scopes[0].listings) == {Listing.NEW: 2}
    assert lists(found) == Span(2, None)
    assert reasons(found) == {Reason.RECREATED: ("large", "small")}
    assert_foreseen(site, found, **options)
    site.assert_true()


def test_recreated_image_is_planned_as_a_range_while_its_run_is_unfinished(served: ServeWorld) -> None:
    """The run's own list of images shows that the image was created again."""
    site = of_one_large(served)
    site.simulator.clock.advance(HOUR_MS)
    site.world.delete_image("large")
    site.world.create_image("large")
    for _ in range(450):
        site.world.create_version("large")
    site.simulator.clock.advance(HOUR_MS)
    interrupted(site, 2)
    found = foreseen(site)
    assert lists(found) == Span(1, None)
    assert reasons(found) == {Reason.RECREATED: ("large",)}
    assert_foreseen(site, found)
    assert site.calls("ListImageVersions") == 3


def test_list_of_images_is_planned_with_its_pages(served: ServeWorld) -> None:
    """More than a hundred images take more than one call of ListImages."""
    site = served(generate(3, images=105, versions_per_image=1))
    found = foreseen(site)
    assert found.scopes[0].calls["ListImages"] == Span.of(2)


def interrupted(site: Site, pages: int) -> None:
    """Run a sync that is stopped after so many pages."""
    stop = Stop()

    class Stopping(Silent):
        seen = 0

        def page(self, page: object) -> None:
            self.seen += 1
            if self.seen == pages:
                stop.request(signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        sync(site.config, progress=Stopping(), stop=stop)


def test_unfinished_run_is_planned_from_where_it_stopped(served: ServeWorld) -> None:
    """For an unfinished run, only the rest is planned, without a call to AWS; --fresh plans from the start."""
    site = of_one_large(served)
    days_go_by(site)
    interrupted(site, 2)
    found = foreseen(site)
    assert site.simulator.counters.calls() == 0
    assert found.continued is not None
    assert (found.continued.images_left, found.continued.images_listed) == (1, 0)
    assert lists(found) == Span.of(1)
    fresh = foreseen(site, fresh=True)
    assert fresh.continued is None
    assert lists(fresh) == Span.of(3)
    assert_foreseen(site, found)
    assert site.calls("ListImageVersions") == 1


def test_run_that_had_not_got_to_all_scopes_is_planned_with_them(served: ServeWorld) -> None:
    """For an interrupted run, ListImages is planned only for the scope that the run had not reached."""
    site = served(generate(5, regions=["us-east-1", "eu-west-1"], images=2, versions_per_image=3))
    regions = msgspec.structs.replace(site.config, accounts=(Account(regions=("us-east-1", "eu-west-1")),))
    site = replace(site, config=regions)
    site.sync()
    wanted, options = find_targets(regions, Stop()), SyncOptions()
    opened = open_scopes(wanted, regions, options, accounts={}, stop=Stop())
    first = Opened(opened.scopes[:1], (), last=False)
    with WarehouseFile(regions.warehouse).reading() as connection:
        knows = known(connection)
        planning = Planning(regions, options, knows.streams, warehouse_id(connection), knows.newest)
    plan, images = planning.plan(first, options.selection(wanted), now_ms=now_ms())
    Landing(regions.landing_folder).create(plan, images)
    found = foreseen(site)
    assert found.continued is not None
    assert total_calls(found.scopes)["ListImages"] == Span.of(1)
    assert lists(found) == Span.of(4)
    site.sync()
    # The first scope's list of images was read when its part of the plan was made.
    assert site.calls("ListImages") == 1
    assert site.calls("ListImageVersions") == 4


def test_run_that_was_read_and_not_settled_is_a_range(served: ServeWorld) -> None:
    """For a run that was read but not settled, the plan is a range: suspects may need DescribeImageVersion."""
    world = world_of(large=250)
    world.delete_version("large", 120)
    site = served(world)
    interrupted(site, 3)
    found = foreseen(site)
    assert reasons(found) == {Reason.UNSETTLED: ("large",)}
    assert_foreseen(site, found)
    assert site.calls("DescribeImageVersion") == 1


def test_locked_warehouse_is_planned_from_memory(served: ServeWorld) -> None:
    """If the warehouse is locked, the plan names the process that holds it, and unknown figures are ranges."""
    site = of_one_large(served)
    with held(site.config.warehouse) as process:
        found = foreseen(site)
        assert str(process) in str(found.locked)
        assert lists(found) == Span(1, 6)
        assert reasons(found) == {Reason.LOCKED: ("large",)}
        with pytest.raises(WarehouseLockedError):
            site.sync(lock_wait=timedelta(0))
    waiting = foreseen(site)
    assert [each.images_left for each in waiting.waiting] == [0]
    assert reasons(waiting) == {Reason.WAITING: ("large",)}
    assert_foreseen(site, waiting)


def test_plan_beside_a_sync_says_that_a_second_one_is_refused(served: ServeWorld) -> None:
    """While a sync holds the landing, the plan names its process; the lock is not taken."""
    site = of_one_large(served)
    assert foreseen(site).syncing is None
    with Landing(site.config.landing_folder).locked():
        found = foreseen(site)
    assert found.syncing == str(os.getpid())
    told = [*_continued(replace(found, continued=Unloaded("r", NOON_MS, 25, 25, 7)))]
    assert (
        told[0] == f"syncing: process {os.getpid()} syncs now; a second sync exits with 7 until it has ended"
    )
    assert "25 of 25 images left (7 listed, but not compared with the warehouse)" in told[1]


def contents(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Every file below a folder, with its modification time and content."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True, slots=True)
class Command:
    """Runs commands in a site's folder."""

    site: Site
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answered:
        self.capture.readouterr()
        code = run(arguments)
        captured = self.capture.readouterr()
        return Answered(code, captured.out, captured.err)


@pytest.fixture
def regions(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """One account in two regions, at four list calls a second."""
    site = served(generate(5, regions=["us-east-1", "eu-west-1"], images=4, versions_per_image=3))
    text = "accounts: [{regions: [us-east-1, eu-west-1]}]\nrate: {list_per_second: 4}\n"
    (site.folder / "config.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(site.folder)
    return Command(site, capsys)


def test_plan_tells_time_at_the_configured_pace_and_writes_nothing(
    regions: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slowest scope decides the planned time, table and JSON agree, and no file is created or changed."""
    before = contents(regions.site.folder)
    assert regions("plan").code == 0
    assert contents(regions.site.folder) == before
    with monkeypatch.context() as patch:
        patch.setenv("IMAGE_HISTORY_RATE__LIST_PER_SECOND", "10000")
        assert regions("sync").code == 0
    before = contents(regions.site.folder)
    told = json.loads(regions("plan", "--json").out)
    text = regions("plan").out
    assert contents(regions.site.folder) == before
    zero = {"low": 0, "high": 0}
    assert told["calls"] == {
        "ListImages": {"low": 2, "high": 2},
        "ListImageVersions": {"low": 8, "high": 8},
        "DescribeImage": zero,
        "DescribeImageVersion": zero,
    }
    # A scope has five list calls, a quarter of a second apart, and waits for the last answer.
    assert told["seconds"] == {"low": pytest.approx(1.2), "high": pytest.approx(1.2)}
    assert [scope["scope"]["region"] for scope in told["scopes"]] == ["us-east-1", "eu-west-1"]
    assert [scope["listings"] for scope in told["scopes"]] == [{"one page": 4}] * 2
    assert "calls: 2 ListImages, 8 ListImageVersions, 0 DescribeImage, 0 DescribeImageVersion" in text
    assert "total" in text
    assert "1.2s" in text


def test_plan_of_a_scope_that_cannot_be_read_exits_with_4(regions: Command) -> None:
    """A denied region is named, the other is planned, and the exit code is 4; with --scope, only one is planned."""
    regions.site.simulator.fault = deny_images_in("eu-west-1")
    outcome = regions("plan")
    assert outcome.code == 4
    assert "denied: 111122223333/eu-west-1" in outcome.out
    assert "111122223333/us-east-1" in outcome.out
    chosen = regions("plan", "--scope", "111122223333/us-east-1")
    assert chosen.code == 0
    assert "eu-west-1" not in chosen.out
