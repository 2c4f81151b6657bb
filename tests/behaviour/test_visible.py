"""Rows are visible while a sync still reads: a scope while others are held up, details while more are looked up."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta

import msgspec
import pytest
from aiohttp import web

from image_history.config import Account, Timeout
from image_history.durable.effects import Effect
from image_history.errors import WarehouseLockedError
from image_history.landing.runs import Landing
from image_history.landing.share import Share
from image_history.model import Failure, Outcome, RowCounts, RunReport, Scope
from image_history.run.pipeline import SyncOptions, sync
from image_history.run.visible import Rhythm
from image_history.simulator import Exchange, VirtualClock, World, generate
from image_history.warehouse.loader import load_run, report
from image_history.warehouse.records import counts_table
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.detailing import BRIEF, CALLS, STORED, true_details
from tests.behaviour.harness import Row, ServeWorld, Site
from tests.behaviour.hinting import Killed, installed
from tests.behaviour.test_true_history import at, load, refuse, waiting
from tests.faultpoints.registry import IN_PARTS

pytestmark = pytest.mark.duckdb

LONG = Timeout(read=timedelta(seconds=60))
EAGER = Rhythm(part=0, most=0, slices=0, quiet=0, look=0.01)
QUICK, SLOW = "us-east-1", "eu-west-1"
RUNS = "SELECT outcome, streams, inserted, updated, deleted FROM runs ORDER BY started_at"
# The content of a warehouse without times and run ids.
TOLD = (
    """SELECT * EXCLUDE (etl_run_id, etl_first_seen_at, etl_changed_at)
    FROM image_versions ORDER BY ALL""",
    "SELECT * EXCLUDE (etl_run_id, etl_observed_at) FROM image_version_events ORDER BY ALL",
    "SELECT * EXCLUDE (etl_run_id) FROM streams ORDER BY ALL",
    "SELECT * EXCLUDE (etl_run_id) FROM absent_versions ORDER BY ALL",
    "SELECT * EXCLUDE (etl_run_id, loaded_at) FROM coverage ORDER BY ALL",
    "SELECT * EXCLUDE (etl_run_id) FROM coverage_in_full ORDER BY ALL",
    """SELECT outcome, mode, streams, inserted, updated, unchanged, reappeared, deleted, list_images_calls,
    list_image_versions_calls, describe_image_version_calls FROM runs ORDER BY started_at""",
)
BY_REGION = "SELECT region, count(*) FROM image_versions GROUP BY region ORDER BY region"
LISTED = "ListImageVersions"


@dataclass(slots=True)
class Held:
    """Holds back the slow region's answers after `pages` pages of versions, until `released` is set.

    The quick region gets no answer before the first one of the slow region.
    """

    pages: int = 0
    released: threading.Event = field(default_factory=threading.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, _: web.Request, exchange: Exchange) -> None:
        if exchange.operation == LISTED and (exchange.scope or ("", ""))[1] == QUICK and 0 < self.pages < 9:
            await self.begun.wait()
        elif exchange.operation == LISTED and (exchange.scope or ("", ""))[1] == SLOW:
            self.pages -= 1
            self.begun.set()
            if self.pages < 0:
                assert await asyncio.to_thread(self.released.wait, 30), "nobody released it"

    def set(self, _: int = 1) -> None:
        """Release the answers, because a part is loaded."""
        self.released.set()


class Parts(logging.Handler):
    """Calls `act` at every part that was loaded."""

    def __init__(self, act: Callable[[int], None]) -> None:
        super().__init__(logging.INFO)
        self.count = 0
        self._act = act

    def emit(self, record: logging.LogRecord) -> None:
        if record.msg == "part_loaded":
            self.count += 1
            self._act(self.count)


@contextmanager
def at_parts(act: Callable[[int], None]) -> Iterator[Parts]:
    """Call `act` at every part that is loaded, on the thread that loaded it."""
    logger, parts = logging.getLogger("image_history"), Parts(act)
    before = logger.level
    logger.addHandler(parts)
    logger.setLevel(logging.INFO)
    try:
        yield parts
    finally:
        logger.setLevel(before)
        logger.removeHandler(parts)


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """One account in two regions, with two images of at most three pages in each."""
    clock = VirtualClock(frozen_at=1_790_000_000_000)
    world = generate(5, regions=(QUICK, SLOW), images=2, versions_per_image=5, clock=clock)
    site = served(world)
    site.config = msgspec.structs.replace(
        site.config, accounts=(Account(regions=(QUICK, SLOW)),), page_size=2, timeout=LONG
    )
    return site


def eager(site: Site, **options: object) -> RunReport:
    """A sync that loads whatever is read at once."""
    site.simulator.counters.reset()
    return sync(site.config, options=SyncOptions(**options), rhythm=EAGER)  # type: ignore[arg-type]


def in_parts(site: Site, **options: object) -> tuple[RunReport, list[Row]]:
    """A sync whose slow region waits for the quick one's part; returns the report and the run's row at that part."""
    held, seen = Held(), []

    def look(part: int) -> None:
        if part == 1:
            seen.extend(site.ask(RUNS + " DESC LIMIT 1"))
            held.released.set()

    site.simulator.fault = held
    with at_parts(look):
        report = eager(site, **options)
    site.simulator.fault = None
    return report, seen


def versions(world: World, region: str) -> int:
    """The number of versions in a region."""
    return sum(row.region == region for row in world.truth())


def test_scope_is_visible_while_another_one_is_held_up(site: Site) -> None:
    """While one scope is held up, only the other one's rows can be queried; the run is `running`, then complete."""
    held, seen = Held(pages=1), list[object]()

    def look(part: int) -> None:
        if part == 1:
            seen.append(site.ask(BY_REGION))
            assert [row[0] for row in site.ask("SELECT DISTINCT region FROM images")] == [QUICK]
            seen.append([row[0] for row in site.ask(RUNS)])
            held.released.set()

    site.simulator.fault = held
    with at_parts(look):
        report = eager(site)
    assert seen == [[(QUICK, versions(site.world, QUICK))], ["running"]]
    assert report.outcome is Outcome.COMPLETE
    assert report.rows.inserted == len(list(site.world.truth()))
    assert {str(scope.scope).split("/")[1]: scope.rows.inserted for scope in report.scopes} == {
        region: versions(site.world, region) for region in (QUICK, SLOW)
    }
    assert site.ask(RUNS) == [("complete", 4, report.rows.inserted, 0, 0)]
    site.assert_true()


def change(world: World) -> None:
    """Create, update and delete a version in each region."""
    for region in (QUICK, SLOW):
        rows = [row for row in world.truth() if row.region == region]
        name, scope = rows[0].image_name, (rows[0].account_id, region)
        numbers = [row.version for row in rows if row.image_name == name]
        world.create_version(name, scope=scope)
        world.update_version(name, numbers[0], scope=scope)
        world.delete_version(name, numbers[1], scope=scope)


def test_parts_say_what_one_load_says(site: Site) -> None:
    """Rows, events, coverage, streams and counts are those of a sync that loads once."""
    whole = msgspec.structs.replace(site.config, warehouse=site.folder / "whole.duckdb")
    for _ in range(2):
        in_parts(site)
        sync(whole, options=SyncOptions())
        site.simulator.clock.advance(600_000)
        change(site.world)
    in_parts(site, full=True)
    sync(whole, options=SyncOptions(full=True))
    told = [site.ask(statement) for statement in TOLD]
    site.config = whole
    assert told == [site.ask(statement) for statement in TOLD]


@dataclass(slots=True)
class Dying:
    """Kills the process at the n-th `effect` on `subject`, counted from a part's record on.

    After the kill no effect is carried out.
    """

    effect: Effect
    subject: str
    held: Held | Slowed
    number: int = 1
    armed: bool = field(default=False, init=False)
    dead: bool = False

    def __call__(self, effect: Effect, subject: str) -> None:
        if effect in {Effect.CLOSE, Effect.LOCK}:
            return
        loading = effect is Effect.STATEMENT and subject in {"load/insert_run", self.subject}
        self.armed = self.armed or loading
        if self.armed and (effect, subject) == (self.effect, self.subject):
            self.number -= 1
            self.dead = self.dead or self.number == 0
        if self.dead:
            self.held.set(1_000)
            raise Killed


def killed_after_a_part(site: Site, held: Held) -> None:
    """A sync that is killed when the part of the quick region is loaded."""
    site.simulator.fault = held
    with installed(Dying(Effect.COMMITTED, "transaction", held)), pytest.raises(Killed):
        eager(site)
    site.simulator.fault = None


KILLS = [
    (Effect.STATEMENT, "load/landed_part", 1, True),
    (Effect.STATEMENT, "load/insert_run", 1, True),
    (Effect.COMMIT, "transaction", 1, True),
    (Effect.COMMITTED, "transaction", 1, True),
    # These happen in the last part, which closes the run.
    (Effect.STATEMENT, "load/delete_run", 1, False),
    (Effect.COMMITTED, "transaction", 2, False),
    (Effect.UNLINK, "plan", 1, False),
]


@pytest.mark.parametrize(
    ("effect", "subject", "number", "resumed"), KILLS, ids=lambda value: str(value).split("/")[-1]
)
def test_killed_run_is_continued_with_what_is_not_loaded(
    site: Site, effect: Effect, subject: str, number: int, resumed: bool
) -> None:
    """Wherever a run is killed, what was read is not requested again, and nothing is loaded twice."""
    held = Held(pages=1)
    dying = Dying(effect, subject, held, number)
    site.simulator.fault = held
    with at_parts(lambda _: held.released.set()), installed(dying), pytest.raises(Killed):
        eager(site)
    assert dying.dead
    asked = Held(pages=1_000)
    site.simulator.fault = asked
    report = site.sync()
    if report.resumed:
        assert site.calls(LISTED) == 1_000 - asked.pages, "the quick region was read already"
        assert report.rows.inserted == len(list(site.world.truth()))
    assert report.resumed == resumed
    ((outcome, _, inserted, updated, _),) = site.ask(RUNS)[:1]
    assert (outcome, inserted, updated) == ("complete", len(list(site.world.truth())), 0)
    site.assert_true()


def calls_by_region(site: Site) -> Counter[tuple[str, str | None]]:
    """The requests that the simulator answered since the last sync began, by operation and region."""
    return Counter((each.operation, each.region) for each in site.simulator.counters.log)


def test_scope_of_a_part_is_not_listed_again(site: Site) -> None:
    """A sync that continues a killed run lists only what no part holds, and its report counts the rows of both."""
    killed_after_a_part(site, Held(pages=1))
    assert site.ask("SELECT outcome FROM runs") == [("running",)]
    assert calls_by_region(site)[LISTED, QUICK] > 0
    report = site.sync()
    assert {region for operation, region in calls_by_region(site) if operation == LISTED} == {SLOW}
    assert report.resumed
    assert {str(each.scope).split("/")[1]: each.rows.inserted for each in report.scopes} == {
        region: versions(site.world, region) for region in (QUICK, SLOW)
    }
    site.assert_true()


def test_locked_warehouse_puts_a_part_off(site: Site) -> None:
    """If another program holds the warehouse when a part is due, the run goes on, and its end loads all rows."""
    site.sync()
    site.simulator.clock.advance(600_000)
    change(site.world)
    held, refused = Held(), []

    def refuse(effect: Effect, subject: str) -> None:
        if (effect, subject) == (Effect.CONNECT, "writing") and not held.released.is_set():
            refused.append(subject)
            if len(refused) > 2:
                held.released.set()
            raise WarehouseLockedError("The warehouse is held by a test.", holder="a test")

    site.simulator.fault = held
    site.config = msgspec.structs.replace(site.config, lock_wait=timedelta(0))
    with installed(refuse):
        report = eager(site, full=True)
    assert len(refused) > 2
    assert report.outcome is Outcome.COMPLETE
    site.simulator.fault = None
    site.assert_true()


def test_backup_that_is_put_back_between_two_parts(site: Site) -> None:
    """If a backup is put back between two parts, the last part loads the rows of the first one again."""
    site.sync()
    backup = site.config.warehouse.read_bytes()
    site.simulator.clock.advance(600_000)
    change(site.world)
    held = Held()

    def put_back(part: int) -> None:
        if part == 1:
            site.config.warehouse.write_bytes(backup)
            held.released.set()

    site.simulator.fault = held
    with at_parts(put_back) as parts:
        report = eager(site, full=True)
    assert parts.count >= 1
    assert report.outcome is Outcome.COMPLETE
    site.simulator.fault = None
    site.assert_true()


def test_forgotten_run_of_which_a_part_is_loaded_is_interrupted(site: Site) -> None:
    """After `--fresh` the dropped run is recorded as interrupted, and no row is lost."""
    held = Held()
    killed_after_a_part(site, held)
    with installed(Dying(Effect.STATEMENT, "load/interrupt_runs", held)), pytest.raises(Killed):
        site.sync(fresh=True)
    assert [row[0] for row in site.ask(RUNS)] == ["running"]
    ((run_id,),) = site.ask("SELECT etl_run_id FROM runs")
    assert "or the next one, reads and loads the rest" in site.run("runs", str(run_id)).stdout
    report = site.sync()
    assert not report.resumed
    assert "the rest was dropped" in site.run("runs", str(run_id)).stdout
    assert [row[0] for row in site.ask(RUNS)] == ["interrupted", "complete", "complete"]
    site.assert_true()


def test_part_of_a_run_that_asked_for_something_else_is_completed_beside_the_new_one(site: Site) -> None:
    """If a run is killed after a part and the next sync is a full one, the killed run is loaded first, as partial."""
    killed_after_a_part(site, Held())
    report = site.sync(full=True)
    assert report.pending_runs == 1
    assert [row[0] for row in site.ask(RUNS)] == ["partial", "complete"]
    site.assert_true()


def test_backup_with_a_part_of_a_run_is_not_taken_for_the_whole(site: Site) -> None:
    """A backup with only the first part of a run does not count as having it: a pending run is loaded as partial."""
    held, backups = Held(), []

    def keep(part: int) -> None:
        if part == 1:
            backups.append(site.config.warehouse.read_bytes())
            held.released.set()

    site.simulator.fault = held
    with at_parts(keep):
        eager(site)
    site.simulator.fault = None
    site.simulator.clock.advance(600_000)
    change(site.world)
    waiting(site, full=True)
    site.config.warehouse.write_bytes(backups[0])
    report = site.sync(full=True)
    assert (report.pending_runs, report.outcome) == (1, Outcome.COMPLETE)
    assert [row[0] for row in site.ask(RUNS)] == ["interrupted", "partial", "complete"]
    site.assert_true()


def test_another_landing_loads_between_two_parts(site: Site) -> None:
    """A sync with another landing marks the run as interrupted and lists a scope again; the run still completes."""
    site.sync()
    site.simulator.clock.advance(600_000)
    held, seen = Held(), list[str]()
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")

    def beside(part: int) -> None:
        if part == 1:
            site.simulator.clock.advance(600_000)
            site.world.create_version(name, scope=where)
            sync(second, options=SyncOptions(scopes=("/".join(where),)))
            seen.extend(str(row[0]) for row in site.ask(RUNS))
            held.released.set()

    row = next(row for row in site.world.truth() if row.region == QUICK)
    name, where = row.image_name, (row.account_id, QUICK)
    site.simulator.fault = held
    with at_parts(beside):
        report = eager(site, full=True)
    assert seen == ["complete", "interrupted", "complete"]
    assert report.outcome is Outcome.COMPLETE
    assert [row[0] for row in site.ask(RUNS)] == ["complete"] * 3
    newest = (
        "SELECT region, arg_max(etl_run_id, loaded_at) FROM coverage WHERE image_name IS NULL GROUP BY region"
    )
    assert {region: run_id == report.run_id for region, run_id in site.ask(newest)} == {
        QUICK: False,
        SLOW: True,
    }
    site.simulator.fault = None
    site.sync()
    site.assert_true()


def test_listing_that_a_part_found_void_makes_the_run_partial(site: Site) -> None:
    """If another landing stores a version that a listing lacks before its part is loaded, the run ends as partial."""
    site.sync(full=True)
    row = next(row for row in site.world.truth() if row.region == QUICK)
    where = (row.account_id, row.region)
    number = site.world.create_version(row.image_name, scope=where)
    site.simulator.clock.advance(600_000)
    waiting(site)
    site.world.delete_version(row.image_name, number, scope=where)
    site.simulator.clock.advance(600_000)
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    with at(Effect.BEGIN, refuse), pytest.raises(WarehouseLockedError):
        sync(second, options=SyncOptions(full=True))
    (run,) = Landing(second.landing_folder).runs()
    load(site, list(Landing(site.config.landing_folder).runs()))
    with WarehouseFile(site.config.warehouse).writing() as connection:
        load_run(connection, run, Share(scopes=frozenset({Scope(*where)})))
        loaded = load_run(connection, run)
    told = report(loaded, duration_seconds=0, lock_seconds=0, resumed=False)
    assert told.outcome is Outcome.PARTIAL
    assert [(each.scope, each.error_code) for each in told.failures] == [(Scope(*where), "UnsettledListing")]
    assert [row[0] for row in site.ask(RUNS)][-1] == "partial"


def test_what_a_part_holds_back_is_listed_anew_once_it_is_allowed(site: Site) -> None:
    """If a run is killed after a part that held deletions back, a sync that allows them lists the scope again."""
    site.config = msgspec.structs.replace(site.config, page_size=100)
    site.sync()
    for row in [row for row in site.world.truth() if row.region == QUICK]:
        for _ in range(3):
            site.world.create_version(row.image_name, scope=(row.account_id, row.region))
    site.sync()
    for row in [row for row in site.world.truth() if row.region == QUICK]:
        site.world.delete_version(row.image_name, row.version, scope=(row.account_id, row.region))
    killed_after_a_part(site, Held())
    report = site.sync(allow_mass_delete=True)
    assert (report.resumed, report.pending_runs, report.outcome) == (False, 1, Outcome.COMPLETE)
    assert [row[0] for row in site.ask(RUNS)] == ["complete", "complete", "held_back", "complete"]
    site.assert_true()


def test_deletions_that_a_part_has_marked_are_not_judged_again(site: Site) -> None:
    """Deletions that a part has stored count once for the breaker: 12 of 40, not again 12 of the 28 that are left."""
    site.config = msgspec.structs.replace(site.config, page_size=100)
    row = next(row for row in site.world.truth() if row.region == QUICK)
    where = (row.account_id, row.region)
    for _ in range(40 - versions(site.world, QUICK)):
        site.world.create_version(row.image_name, scope=where)
    site.sync()
    for gone in [
        each for each in site.world.truth() if each.region == QUICK and each.image_name == row.image_name
    ][:12]:
        site.world.delete_version(gone.image_name, gone.version, scope=where)
    site.simulator.clock.advance(600_000)
    report, seen = in_parts(site)
    assert [(outcome, deleted) for outcome, _, _, _, deleted in seen] == [("running", 12)]
    assert (report.outcome, [each.failures for each in report.scopes]) == (Outcome.COMPLETE, [(), ()])
    site.assert_true()


def test_scope_that_is_lost_when_its_run_goes_on_is_told_once(site: Site) -> None:
    """If a scope cannot be opened when its run continues, the run is partial and stores each coverage row once."""
    waiting(site)
    (run,) = Landing(site.config.landing_folder).runs()
    lost = run.plan.scopes[0].scope
    failure = Failure(str(lost), lost, None, Outcome.DENIED, "AccessDenied", "It cannot be opened.")
    with WarehouseFile(site.config.warehouse).writing() as connection:
        loaded = load_run(connection, replace(run, plan=replace(run.plan, unreadable=(failure,))))
    told = report(loaded, duration_seconds=0, lock_seconds=0, resumed=True)
    assert (told.outcome, told.unreadable_scopes) == (Outcome.PARTIAL, (failure,))
    rows = site.ask("SELECT region, image_name, outcome FROM coverage")
    assert [row[2] for row in rows if row[1] is None] == ["complete", "complete"]
    assert len({row[:2] for row in rows}) == len(rows) == 6
    site.assert_true()


@pytest.fixture
def described(served: ServeWorld) -> Site:
    """Two images of six versions in one region, with details, in one file for each lookup."""
    world = generate(17, images=2, versions_per_image=6, clock=VirtualClock(frozen_at=1_790_000_000_000))
    site = served(world)
    site.config = msgspec.structs.replace(
        site.config, details=True, checkpoint_rows=1, concurrency=1, timeout=LONG
    )
    return site


KNOWN = "SELECT count(*), count(etl_described_at), count(etl_aliases_at) FROM image_versions"


@dataclass(slots=True)
class Slowed:
    """Holds back lookups of details at each number in `stops`, until as many parts are loaded as there were stops."""

    stops: set[int]
    count: int = 0
    waits: int = 0
    parts: int = 0
    changed: threading.Condition = field(default_factory=threading.Condition)

    async def __call__(self, _: web.Request, exchange: Exchange) -> None:
        if exchange.operation in CALLS:
            self.count += 1
            if self.count in self.stops:
                self.waits += 1
                assert await asyncio.to_thread(self._loaded, self.waits), "nobody released it"

    def _loaded(self, parts: int) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: self.parts >= parts, 30)

    def set(self, parts: int = 1) -> None:
        """Count `parts` more loaded parts."""
        with self.changed:
            self.parts += parts
            self.changed.notify_all()


def test_versions_are_visible_before_their_details_and_details_while_more_are_asked(described: Site) -> None:
    """The versions are visible first, then the details of some, at the end those of all; nothing is stored twice."""
    site = described
    slowed, seen = Slowed({1, 10, 20}), list[Row]()

    def look(_: int) -> None:
        seen.extend(site.ask(KNOWN))
        slowed.set()

    site.simulator.fault = slowed
    with at_parts(look):
        report = eager(site)
    assert report.outcome is Outcome.COMPLETE
    known = [int(str(row[1])) for row in seen]
    assert (seen[0], known) == ((12, 0, 0), sorted(known))
    assert any(0 < count < 12 for count in known)
    assert site.ask(KNOWN) == [(12, 12, 12)]
    assert set(site.ask(STORED)) == true_details(site.world)
    assert (site.calls(CALLS[0]), site.calls(CALLS[1])) == (12, 12)
    assert site.ask(
        "SELECT image_name, details, detailed FROM coverage WHERE image_name IS NOT NULL ORDER BY 1"
    ) == [(name, "complete", 6) for name in sorted({row.image_name for row in site.world.truth()})]
    ((inserted, updated),) = site.ask("SELECT inserted, updated FROM runs")
    assert (inserted, updated) == (12, site.ask("SELECT count(*) FROM image_version_events")[0][0] - 12)  # type: ignore[operator]
    site.assert_true()


def test_killed_between_slices_of_details_asks_nothing_twice(described: Site) -> None:
    """However often a run is killed in or after a slice, landed details are neither requested nor stored again."""
    site = described
    late = sorted(subject for _, subject in IN_PARTS if "detailed" in subject or "counts" in subject)
    kills = [*((Effect.STATEMENT, statement) for statement in late), (Effect.COMMITTED, "transaction")]
    made = 0
    for effect, subject in kills:
        slowed = Slowed({5})
        dying = Dying(effect, subject, slowed)
        site.simulator.fault = slowed
        with installed(dying), pytest.raises(Killed):
            eager(site)
        made += slowed.count
        assert site.ask("SELECT outcome FROM runs") == [("running",)]
    # The last kill left a slice that is stored, and whose files are still landed.
    assert 0 < int(str(site.ask(KNOWN)[0][1])) < 12
    site.simulator.fault = None
    report = eager(site)
    assert report.resumed
    made += site.calls(CALLS[0]) + site.calls(CALLS[1])
    # At each kill, both calls of the lookup in progress, and of one that was not landed, may be repeated.
    assert 24 <= made <= 24 + len(kills) * 4
    assert set(site.ask(STORED)) == true_details(site.world)
    (created, modified) = site.ask(CHANGES)
    assert created == ("created", 12, 12)
    # A version has one event for its details, unless they were loaded together with it.
    assert modified in {("modified", count, count) for count in range(1, 13)}
    assert site.ask("SELECT outcome, inserted, updated FROM runs") == [("complete", 12, modified[1])]
    site.assert_true()


# The number of events of each kind, and of the versions that have one.
CHANGES = """
SELECT etl_change, count(*), count(DISTINCT (image_name, version)) FROM image_version_events
GROUP BY etl_change ORDER BY etl_change
"""


def test_details_are_counted_where_they_were_read(described: Site) -> None:
    """If the last part has a scope that failed and details of another scope, each scope counts its own updates."""
    site = described
    site.config = msgspec.structs.replace(
        site.config, accounts=(Account(regions=(QUICK, SLOW)),), retry=BRIEF
    )
    site.world.create_image("other", scope=("111122223333", SLOW))
    site.world.create_version("other", scope=("111122223333", SLOW))
    slowed = Slowed({1, 10})

    async def fault(request: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation == LISTED and (exchange.scope or ("", ""))[1] == SLOW:
            return web.Response(status=503)
        await slowed(request, exchange)
        return None

    site.simulator.fault = fault
    with at_parts(lambda _: slowed.set()):
        report = eager(site)
    assert report.outcome is Outcome.PARTIAL
    ((updated,),) = site.ask("SELECT count(*) FROM image_version_events WHERE etl_change = 'modified'")
    assert int(str(updated)) > 0
    assert site.ask("SELECT region, updated FROM coverage WHERE image_name IS NULL ORDER BY region") == [
        (SLOW, 0),
        (QUICK, updated),
    ]
    assert set(site.ask(STORED)) <= true_details(site.world)


def test_details_are_counted_for_no_other_account_run_or_image(described: Site) -> None:
    """Counts of details are added to the scope's row of this account, region and run, and to no other row."""
    described.sync()
    ours, other = Scope("111122223333", QUICK), Scope("222222222222", QUICK)
    with WarehouseFile(described.config.warehouse).writing() as connection:
        connection.duck.execute("UPDATE coverage SET updated = 1, etl_run_id = 'this'")
        for name, value in (("account_id", other.account_id), ("etl_run_id", "before"), ("region", SLOW)):
            connection.duck.execute(
                f"INSERT INTO coverage SELECT * REPLACE ('{value}' AS {name}) FROM coverage "
                "WHERE etl_run_id = 'this' AND account_id = $account AND region = $region",
                {"account": ours.account_id, "region": ours.region},
            )
        connection.offer("counted_arrow", counts_table({ours: RowCounts(updated=5)}))
        connection.run("load/add_counts", {"run_id": "this"})
        grown = connection.duck.execute(
            "SELECT etl_run_id, account_id, region, image_name FROM coverage WHERE updated <> 1"
        ).fetchall()
    assert grown == [("this", ours.account_id, ours.region, None)]


def test_backup_that_is_put_back_between_two_slices_of_details(described: Site) -> None:
    """If a backup is put back between two slices of details, the details that it lacks are loaded again."""
    site = described
    slowed, backups = Slowed({1, 10, 20}), list[bytes]()

    def swap(part: int) -> None:
        if part == 1:
            backups.append(site.config.warehouse.read_bytes())
        if slowed.waits == 3 and backups:
            site.config.warehouse.write_bytes(backups.pop())
        slowed.set()

    site.simulator.fault = slowed
    with at_parts(swap):
        report = eager(site)
    assert not backups
    assert report.outcome is Outcome.COMPLETE
    assert site.ask(KNOWN) == [(12, 12, 12)]
    assert set(site.ask(STORED)) == true_details(site.world)
    site.assert_true()


def test_quiet_run_with_details_says_in_parts_what_it_says_in_one(described: Site) -> None:
    """Details that are due again for unchanged images have the same coverage in parts as in one load."""
    every = timedelta(minutes=1)
    described.config = msgspec.structs.replace(described.config, details_every=every)
    whole = msgspec.structs.replace(described.config, warehouse=described.folder / "whole.duckdb")
    for _ in range(3):
        slowed = Slowed({1, 10})
        described.simulator.fault = slowed
        with at_parts(lambda _, slowed=slowed: slowed.set()):  # type: ignore[misc]
            eager(described)
        described.simulator.fault = None
        sync(whole, options=SyncOptions())
        described.simulator.clock.advance(600_000)
        name = next(described.world.truth().__iter__()).image_name
        described.world.move_alias(name, "latest", 1)
    statements = (
        STORED,
        # A row that is stored only for its details has an exact T0.
        "SELECT * EXCLUDE (etl_run_id, t0) FROM coverage_in_full ORDER BY ALL",
    )
    told = [sorted(map(str, described.ask(statement))) for statement in statements]
    described.config = whole
    assert told == [sorted(map(str, described.ask(statement))) for statement in statements]


def test_what_is_new_in_a_part_is_known_whatever_becomes_of_its_run(site: Site) -> None:
    """A new member of AWS's answers is stored with its part, and is counted and reported at the end of the run."""
    held, seen = Held(), list[Row]()
    drift = "SELECT operation, member, occurrences FROM schema_drift"

    async def colour(request: web.Request, exchange: Exchange) -> web.Response | None:
        await held(request, exchange)
        if exchange.operation != LISTED:
            return None
        body = msgspec.json.decode(exchange.body)
        body["ImageVersions"] = [{**row, "Colour": "green"} for row in body["ImageVersions"]]
        return web.Response(status=200, headers=exchange.headers, body=msgspec.json.encode(body))

    def look(part: int) -> None:
        if part == 1:
            seen.extend(site.ask(drift))
            held.released.set()

    site.simulator.fault = colour
    with at_parts(look):
        report = eager(site)
    assert seen == [(LISTED, "ImageVersions[].Colour", 0)]
    assert [(each.operation, each.member, each.occurrences) for each in report.drift] == site.ask(drift)
    assert report.drift[0].occurrences > 0
    assert site.sync(full=True).drift == ()
