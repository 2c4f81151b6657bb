"""The history is true in every schedule: after restored backups, late loads, interruptions and recreated images."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import msgspec
import pytest
from aiohttp import web

from image_history.cli.sync import exit_code
from image_history.durable.effects import Effect, install
from image_history.errors import InterruptedRunError, WarehouseLockedError
from image_history.landing.runs import LandedRun, Landing
from image_history.listing.breaker import LIMIT
from image_history.model import Outcome, RunReport, Stop
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import Behaviour, Exchange, VersionRecord, VirtualClock, World
from image_history.warehouse.loader import load_run
from image_history.warehouse.warehouse import WarehouseFile, now_ms
from tests.behaviour.checking import sync_cut_short
from tests.behaviour.harness import ServeWorld, Site
from tests.conftest import ROOT

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
MINUTE_MS = 60_000
HOUR_MS = 3_600_000
NAME = "base"
DELETIONS = """
SELECT version, epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from), etl_delete_evidence
FROM image_version_events WHERE etl_change = 'deleted' ORDER BY ALL
"""


def made(
    served: ServeWorld, versions: int, *, page_size: int = 100, behaviour: Behaviour | None = None
) -> Site:
    """A site with one image of `versions` versions, one minute apart, with a frozen clock that tests advance."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image(NAME)
    for _ in range(versions):
        world.clock.advance(MINUTE_MS)
        world.create_version(NAME)
    world.clock.advance(HOUR_MS)
    site = served(world, behaviour)
    site.config = msgspec.structs.replace(site.config, page_size=page_size, lookback=timedelta(0))
    return site


def synced(served: ServeWorld, versions: int, *, page_size: int = 100) -> Site:
    """The same site, synced once, one hour ago."""
    site = made(served, versions, page_size=page_size)
    site.sync()
    site.world.clock.advance(HOUR_MS)
    return site


@contextmanager
def at(effect: Effect, act: Callable[[str], None]) -> Iterator[None]:
    """Call `act` at every effect of this kind."""
    remove = install(lambda each, subject: act(subject) if each is effect else None)
    try:
        yield
    finally:
        remove()


def refuse(subject: str) -> None:
    """Raise the error of a warehouse that another program holds."""
    raise WarehouseLockedError(f"The warehouse is held by a test ({subject}).", holder="a test")


def waiting(site: Site, *, full: bool = False) -> None:
    """A sync that reads everything, and can load neither its rows nor pending runs."""
    with at(Effect.BEGIN, refuse), pytest.raises(WarehouseLockedError):
        sync(site.config, options=SyncOptions(full=full))


def interrupted(site: Site, *, call: int, full: bool = False) -> None:
    """A sync that is stopped at the `call`-th answer of ListImageVersions."""
    stop, seen = Stop(), 0

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        nonlocal seen
        seen += exchange.operation == "ListImageVersions"
        if seen == call:
            stop.request(15)
        return None

    site.simulator.fault = fault
    with pytest.raises(InterruptedRunError):
        sync(site.config, options=SyncOptions(full=full), stop=stop)
    site.simulator.fault = None


def meanwhile(site: Site, call: int, act: Callable[[], None]) -> None:
    """Call `act` at the `call`-th answer of ListImageVersions."""
    seen = 0

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        nonlocal seen
        seen += exchange.operation == "ListImageVersions"
        if seen == call and exchange.operation == "ListImageVersions":
            act()
        return None

    site.simulator.fault = fault


def make_again(site: Site, versions: int) -> None:
    """Delete the image, and recreate it a minute later with `versions` versions."""
    if site.world.image_truth(image_name=NAME):
        site.world.delete_image(NAME)
    site.world.clock.advance(MINUTE_MS)
    site.world.create_image(NAME)
    for _ in range(versions):
        site.world.clock.advance(1)
        site.world.create_version(NAME)
    site.world.clock.advance(MINUTE_MS)


def load(site: Site, runs: list[LandedRun]) -> None:
    """Load the runs in the given order."""
    with WarehouseFile(site.config.warehouse).writing() as connection:
        for run in runs:
            load_run(connection, run)


@pytest.mark.parametrize("backwards", [False, True], ids=["in-order", "backwards"])
def test_proof_says_nothing_of_what_was_made_after_it(served: ServeWorld, backwards: bool) -> None:
    """Of two pending runs one saw the image gone, the other saw it recreated: in either load order it is live."""
    site = synced(served, 8)
    site.world.delete_image(NAME)
    site.world.clock.advance(MINUTE_MS)
    waiting(site)
    make_again(site, 8)
    waiting(site)
    runs = sorted(Landing(site.config.landing_folder).runs(), key=lambda run: run.plan.t0_ms)
    assert [run.plan.t0_ms for run in runs] == sorted({run.plan.t0_ms for run in runs})
    load(site, runs[::-1] if backwards else runs)
    site.assert_true()
    assert site.ask("SELECT count(*) FROM images WHERE etl_deleted_at IS NULL") == [(1,)]


def test_local_clock_does_not_order_runs(served: ServeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two pending runs the older one is loaded first, even if its local clock was two minutes ahead."""
    site = synced(served, 8)
    site.world.delete_image(NAME)
    site.world.clock.advance(MINUTE_MS)
    with monkeypatch.context() as patch:
        patch.setattr("image_history.run.pipeline.now_ms", lambda: now_ms() + 2 * MINUTE_MS)
        waiting(site)
    make_again(site, 8)
    waiting(site)
    report = site.sync()
    assert (report.pending_runs, report.outcome) == (2, Outcome.COMPLETE)
    site.assert_true()


@pytest.mark.parametrize("backwards", [False, True], ids=["in-order", "backwards"])
def test_older_rows_and_absences_change_nothing_newer(served: ServeWorld, backwards: bool) -> None:
    """Of two pending runs the one that read later wins for each version, whichever is loaded first."""
    site = synced(served, 4)
    site.world.update_version(NAME, 1)
    came_and_went = site.world.create_version(NAME)
    site.world.clock.advance(MINUTE_MS)
    waiting(site, full=True)
    site.world.set_status(NAME, 1, "DELETE_FAILED", failure_reason="in use")
    site.world.delete_version(NAME, came_and_went)
    site.world.delete_version(NAME, 2)
    site.world.create_version(NAME)
    site.world.clock.advance(MINUTE_MS)
    waiting(site, full=True)
    runs = sorted(Landing(site.config.landing_folder).runs(), key=lambda run: run.plan.t0_ms)
    load(site, runs[::-1] if backwards else runs)
    assert site.sync().outcome is Outcome.COMPLETE
    site.assert_true()
    assert [row[0] for row in site.ask(DELETIONS)] == ([2] if backwards else [2, came_and_went])


def restored(site: Site, between: Callable[[], None]) -> None:
    """Copy the warehouse, sync, call `between`, and put the copy back."""
    copy = shutil.copy(site.config.warehouse, site.folder / "copy.duckdb")
    site.world.update_version(NAME, 2)
    site.world.clock.advance(HOUR_MS)
    assert site.sync().outcome is Outcome.COMPLETE
    site.world.clock.advance(HOUR_MS)
    site.world.create_version(NAME)
    between()
    shutil.copy(copy, site.config.warehouse)
    site.world.clock.advance(MINUTE_MS)


@pytest.mark.parametrize("leave", ["waits", "interrupted", "nothing"])
def test_put_the_backup_in_its_place(served: ServeWorld, leave: str) -> None:
    """If a backup is put back, a run that continues from a later state does not hide the changes since the backup."""
    site = synced(served, 9, page_size=4)
    left: dict[str, Callable[[], None]] = {
        "waits": lambda: waiting(site),
        "interrupted": lambda: interrupted(site, call=1),
        "nothing": lambda: None,
    }
    restored(site, left[leave])
    report = site.sync()
    assert report.outcome is Outcome.COMPLETE
    site.assert_true()


def test_plan_from_memory_is_held_against_the_warehouse(served: ServeWorld) -> None:
    """A plan from memory, made while the warehouse is locked, is checked against the warehouse that was put back."""
    site = synced(served, 9, page_size=4)
    restored(site, lambda: None)
    locked = [True]

    def once(subject: str) -> None:
        if locked.pop() if locked else False:
            refuse(subject)

    with at(Effect.CONNECT, once):
        report = site.sync()
    assert not locked
    assert report.outcome is Outcome.COMPLETE
    site.assert_true()


def test_listing_that_starts_elsewhere_moves_nothing(served: ServeWorld) -> None:
    """A listing that rests on a newer warehouse is loaded as partial: its rows are kept, no watermark is moved."""
    site = synced(served, 9, page_size=4)
    before = site.ask("SELECT watermark, last_full_at FROM streams")
    restored(site, lambda: waiting(site))
    load(site, list(Landing(site.config.landing_folder).runs()))
    assert site.ask(
        "SELECT outcome, error_code FROM coverage WHERE image_name IS NOT NULL ORDER BY t0 DESC LIMIT 1"
    ) == [("partial", "UnfoundedListing")]
    assert site.ask("SELECT watermark, last_full_at FROM streams") == before
    assert site.ask("SELECT max(version) FROM image_versions") == [(10,)]


def code(report: RunReport) -> int:
    """The exit code of a sync."""
    return exit_code(report)


def test_held_back_is_not_accepted(served: ServeWorld) -> None:
    """While deletions are held back each run lists the image in full and exits with 9, until they are allowed."""
    site = synced(served, 40, page_size=10)
    stored = site.ask("SELECT last_full_at FROM streams")
    for number in range(1, 21):
        site.world.delete_version(NAME, number)
    for full in (True, False, False):
        site.world.clock.advance(HOUR_MS)
        report = site.sync(full=full)
        assert (code(report), report.outcome) == (9, Outcome.HELD_BACK)
        assert [scope.held_back for scope in report.scopes] == [20]
        assert site.calls("ListImageVersions") == 2
        assert site.calls("DescribeImageVersion") == 0
        assert site.ask(
            "SELECT outcome, listing, deleted FROM coverage WHERE image_name IS NOT NULL ORDER BY t0 DESC LIMIT 1"
        ) == [("held_back", "full", None)]
        assert site.ask("SELECT outcome FROM runs ORDER BY finished_at DESC LIMIT 1") == [("held_back",)]
        assert site.ask("SELECT last_full_at FROM streams") == stored
    allowed = sync(site.config, options=SyncOptions(allow_mass_delete=True))
    assert (code(allowed), allowed.rows.deleted) == (0, 20)
    site.assert_true()
    assert code(site.sync()) == 0


def test_held_back_versions_that_come_back_settle_it(served: ServeWorld) -> None:
    """If versions are missing from a listing for a while, the next sync completes and no deletion is stored."""
    site = synced(served, 12)
    lacking = True

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "ListImageVersions" or not lacking:
            return None
        return web.Response(status=200, headers=exchange.headers, body=b'{"ImageVersions":[]}')

    site.simulator.fault = fault
    assert code(site.sync()) == 9
    lacking = False
    assert code(site.sync()) == 0
    site.assert_true()
    assert site.ask(DELETIONS) == []


@pytest.mark.parametrize("page_size", [100, 4], ids=["full", "incremental"])
def test_breaker_holds_back_an_image_that_is_gone(served: ServeWorld, page_size: int) -> None:
    """The breaker holds back an image that is gone, whether it would be listed in full or incrementally."""
    site = synced(served, 15, page_size=page_size)
    site.world.delete_image(NAME)
    site.world.clock.advance(HOUR_MS)
    for _ in range(2):
        report = site.sync()
        assert (code(report), site.ask(DELETIONS)) == (9, [])
    assert code(site.sync(allow_mass_delete=True)) == 0
    site.assert_true()


def test_version_that_is_listed_lives(served: ServeWorld) -> None:
    """A version that is listed lives, even if it is older than its image according to the list of images."""
    site = synced(served, 12, page_size=4)
    site.world.put_version(
        NAME,
        VersionRecord(version=13, creation_ms=NOON_MS - HOUR_MS, last_modified_ms=site.world.clock.now_ms()),
    )
    for full in (False, True):
        site.world.clock.advance(HOUR_MS)
        assert (code(site.sync(full=full)), site.ask(DELETIONS)) == (0, [])
        site.assert_true()
    site.world.delete_version(NAME, 2)
    site.world.clock.advance(HOUR_MS)
    site.sync(full=True)
    assert [row[3] for row in site.ask(DELETIONS)] == ["describe_not_found"]
    site.assert_true()


def test_breaker_counts_a_whole_run(served: ServeWorld) -> None:
    """Images that are gone and missing versions trip the breaker together; then nothing of the scope is deleted."""
    site = made(served, 10)
    for name in ("other", "third"):
        site.world.create_image(name)
        for _ in range(10):
            site.world.create_version(name)
    site.sync()
    site.world.delete_image("other")
    site.world.delete_version("third", 1)
    site.world.clock.advance(HOUR_MS)
    report = site.sync()
    assert (code(report), report.rows.deleted) == (9, 0)
    assert site.ask("SELECT image_name, outcome FROM coverage WHERE outcome = 'held_back' ORDER BY ALL") == [
        ("other", "held_back"),
        ("third", "held_back"),
    ]
    assert site.ask("SELECT count(*) FROM images WHERE etl_deleted_at IS NOT NULL") == [(0,)]
    assert code(sync(site.config, options=SyncOptions(allow_mass_delete=True))) == 0
    site.assert_true()


def test_interrupted_run_is_judged_anew_once_it_is_allowed(served: ServeWorld) -> None:
    """Deletions that an interrupted run held back are done by the sync that continues the run, if it allows them."""
    site = synced(served, 12)
    for number in range(1, 12):
        site.world.delete_version(NAME, number)
    stop, segments = Stop(), []

    def second(subject: str) -> None:
        segments.extend([subject] if subject == "segment" else [])
        if len(segments) == 2:
            stop.request(15)

    detailed = msgspec.structs.replace(site.config, details=True)
    with at(Effect.RENAME, second), pytest.raises(InterruptedRunError):
        sync(detailed, stop=stop)
    (left,) = Landing(site.config.landing_folder).runs()
    assert [mark.outcome for mark in left.checkpoints.values()] == [Outcome.HELD_BACK]
    report = sync(detailed, options=SyncOptions(allow_mass_delete=True))
    assert (code(report), report.resumed, report.rows.deleted) == (0, True, 11)
    site.assert_true()


def journal_interval(site: Site) -> tuple[int, int]:
    """The last-seen time and the gone time of the only deletion."""
    ((_, seen_ms, gone_ms, _),) = site.ask(DELETIONS)
    assert isinstance(seen_ms, int)
    assert isinstance(gone_ms, int)
    return seen_ms, gone_ms


def test_version_that_goes_while_it_is_read_is_not_gone_before(served: ServeWorld) -> None:
    """If a version is deleted while it is read, the deletion is between the listing's first answer and Describe's."""
    site = synced(served, 9, page_size=4)
    went: list[int] = []

    def delete() -> None:
        site.world.clock.advance(9_500)
        site.world.delete_version(NAME, 7)
        went.append(site.world.clock.now_ms())

    meanwhile(site, 1, delete)
    assert site.sync(full=True).rows.deleted == 1
    seen_ms, gone_ms = journal_interval(site)
    assert seen_ms <= went[0] <= gone_ms
    site.assert_true()


def test_version_that_goes_before_a_run_is_resumed_is_not_gone_before(served: ServeWorld) -> None:
    """If a version is deleted while its run is interrupted, the interval of the deletion contains that time."""
    site = synced(served, 9, page_size=4)
    interrupted(site, call=1, full=True)
    site.world.clock.advance(5 * HOUR_MS)
    site.world.delete_version(NAME, 8)
    went_ms = site.world.clock.now_ms()
    site.world.clock.advance(HOUR_MS)
    assert site.sync(full=True).rows.deleted == 1
    seen_ms, gone_ms = journal_interval(site)
    assert seen_ms <= went_ms <= gone_ms


def test_held_back_deletion_was_last_seen_before(served: ServeWorld) -> None:
    """A listing that lacked the versions has not seen them: their last-seen times are before the deletion."""
    site = synced(served, 12)
    for number in range(1, 12):
        site.world.delete_version(NAME, number)
    went_ms = site.world.clock.now_ms()
    site.world.clock.advance(HOUR_MS)
    assert code(site.sync()) == 9
    site.world.clock.advance(HOUR_MS)
    sync(site.config, options=SyncOptions(allow_mass_delete=True))
    rows = site.ask(DELETIONS)
    assert len(rows) == 11
    assert all(int(str(seen)) <= went_ms <= int(str(gone)) for _, seen, gone, _ in rows)


@pytest.mark.parametrize("operation", ["ListImages", "ListImageVersions", "DescribeImageVersion"])
def test_interrupt_while_a_call_is_throttled_is_no_failure(served: ServeWorld, operation: str) -> None:
    """If a sync is interrupted during a throttled call, it ends as interrupted, and the next sync completes."""
    site = synced(served, 9, page_size=4)
    site.world.delete_version(NAME, 3)
    stop = Stop()

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != operation:
            return None
        stop.request(15)
        return web.Response(
            status=400, headers=exchange.headers, body=b'{"__type":"ThrottlingException","message":"slower"}'
        )

    site.simulator.fault = fault
    with pytest.raises(InterruptedRunError):
        sync(site.config, options=SyncOptions(full=True), stop=stop)
    site.simulator.fault = None
    report = site.sync(full=True)
    assert (report.outcome, report.rows.deleted) == (Outcome.COMPLETE, 1)
    site.assert_true()


@pytest.mark.parametrize("resume_within", [timedelta(hours=24), timedelta(0)], ids=["goes-on", "starts-over"])
def test_what_was_landed_and_is_missing_is_a_suspect(served: ServeWorld, resume_within: timedelta) -> None:
    """If versions that an interrupted sync had landed are deleted, they are not stored as live in the end."""
    site = made(served, 30, page_size=10)
    interrupted(site, call=2)
    site.world.clock.advance(HOUR_MS)
    for number in (3, 30):
        site.world.delete_version(NAME, number)
    site.sync(resume_within=resume_within)
    site.sync(full=True)
    site.assert_true()


def test_token_that_expires_while_a_version_goes(served: ServeWorld) -> None:
    """If a token expires, the listing starts again; a version that only the first reading had is looked up."""
    site = made(served, 30, page_size=10)

    def expire() -> None:
        site.world.delete_version(NAME, 3)
        site.world.clock.advance(25 * HOUR_MS)

    meanwhile(site, 1, expire)
    assert site.sync().outcome is Outcome.COMPLETE
    assert site.calls("DescribeImageVersion") == 1
    site.assert_true()


def test_earlier_life_explains_nothing(served: ServeWorld) -> None:
    """A version that offset tokens skip is found, although an earlier life of the image had its number."""
    site = made(served, 30, page_size=15, behaviour=Behaviour(tokens="offset"))
    site.sync()
    site.world.delete_image(NAME)
    sync(site.config, options=SyncOptions(allow_mass_delete=True))
    make_again(site, 30)
    meanwhile(site, 1, lambda: site.world.delete_version(NAME, 1))
    site.sync()
    site.simulator.fault = None
    assert site.ask("SELECT etl_deleted_at IS NULL FROM image_versions WHERE version = 16") == [(True,)]
    site.sync(full=True)
    site.assert_true()


def test_absence_in_an_earlier_life_explains_nothing(served: ServeWorld) -> None:
    """A number that was proved absent before the image was recreated is looked up again in the new life."""
    site = made(served, 9, page_size=4, behaviour=Behaviour(tokens="offset"))
    site.world.delete_version(NAME, 5)
    site.sync()
    assert site.ask("SELECT first_version, last_version FROM absent_versions") == [(5, 5)]
    make_again(site, 9)
    meanwhile(site, 1, lambda: site.world.delete_version(NAME, 1))
    sync(site.config, options=SyncOptions(allow_mass_delete=True))
    assert site.ask("SELECT etl_deleted_at IS NULL FROM image_versions WHERE version = 5") == [(True,)]


def test_changed_identity_forces_a_full_listing(served: ServeWorld) -> None:
    """If an image is recreated with fewer versions, the earlier life's versions are deleted without the breaker."""
    site = synced(served, 150)
    make_again(site, 5)
    report = site.sync()
    assert (code(report), report.rows.inserted, report.rows.deleted) == (0, 5, 145)
    site.assert_true()
    assert {row[3] for row in site.ask(DELETIONS)} == {"image_recreated"}
    made_ms = site.world.image_truth(image_name=NAME)[0].creation_ms
    assert all(int(str(seen)) <= made_ms == gone for _, seen, gone, _ in site.ask(DELETIONS))
    site.world.create_version(NAME)
    site.sync()
    assert site.calls("DescribeImageVersion") == 0
    site.assert_true()


UNEXPLAINED = """
SELECT number::INTEGER FROM (SELECT unnest(range(first_version_seen, highest_version + 1)) AS number FROM streams)
WHERE number NOT IN (SELECT version FROM image_versions)
AND NOT EXISTS (FROM absent_versions WHERE number BETWEEN first_version AND last_version) ORDER BY 1
"""


def test_gaps_are_looked_for_over_the_whole_range(served: ServeWorld) -> None:
    """If a partial incremental run has raised the highest number, the gap below it is explained by later syncs."""
    site = synced(served, 30, page_size=5)
    for _ in range(20):
        site.world.create_version(NAME)
        site.world.clock.advance(MINUTE_MS)
    for number in range(31, 36):
        site.world.delete_version(NAME, number)
    interrupted(site, call=1)
    site.world.clock.advance(HOUR_MS)
    (left,) = Landing(site.config.landing_folder).runs()
    load(site, [left])
    assert site.ask(UNEXPLAINED) != []
    for number in range(36, 51):
        site.world.delete_version(NAME, number)
    assert site.sync(allow_mass_delete=True).outcome is Outcome.COMPLETE
    site.sync(full=True)
    assert site.ask(UNEXPLAINED) == []
    site.assert_true()


def goes_unseen(site: Site, more: int) -> None:
    """Create a version and `more` after it; delete the first one before any listing."""
    number = site.world.create_version(NAME)
    for _ in range(more):
        site.world.create_version(NAME)
        site.world.clock.advance(MINUTE_MS)
    site.world.delete_version(NAME, number)


def proved_twice(site: Site) -> None:
    """Two pending runs have proved number 10 absent."""
    goes_unseen(site, 1)
    for _ in range(2):
        waiting(site)
        site.world.clock.advance(MINUTE_MS)


def turned_up(site: Site) -> None:
    """Number 10 was proved absent, and is listed later."""
    goes_unseen(site, 1)
    site.sync()
    now = site.world.clock.now_ms()
    site.world.put_version(NAME, VersionRecord(version=10, creation_ms=now, last_modified_ms=now))
    site.world.clock.advance(MINUTE_MS)
    site.sync()


@pytest.mark.parametrize("absent", [proved_twice, turned_up])
def test_absence_hides_no_gap_beside_it(served: ServeWorld, absent: Callable[[Site], None]) -> None:
    """Number 12, which a cut listing left unexplained beside an absence, is looked up by the next incremental one."""
    site = synced(served, 9, page_size=4)
    absent(site)
    goes_unseen(site, 4)
    sync_cut_short(site, NAME)
    assert site.ask(UNEXPLAINED) == [(12,)]
    site.sync()
    assert site.calls("DescribeImageVersion") == 1
    assert site.ask(UNEXPLAINED) == []
    site.assert_true()


def test_late_proof_of_an_earlier_life_hides_no_gap_of_this_one(served: ServeWorld) -> None:
    """If a pending run is loaded after the image was recreated, its absences explain no number of the new life."""
    site = synced(served, 9, page_size=4)
    goes_unseen(site, 1)
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    with at(Effect.BEGIN, refuse), pytest.raises(WarehouseLockedError):
        sync(second, options=SyncOptions())
    site.world.clock.advance(MINUTE_MS)
    site.world.delete_image(NAME)
    site.world.clock.advance(MINUTE_MS)
    site.world.create_image(NAME)
    for _ in range(9):
        site.world.create_version(NAME)
    site.world.clock.advance(MINUTE_MS)
    site.sync(allow_mass_delete=True)
    load(site, list(Landing(second.landing_folder).runs()))
    for _ in range(6):
        site.world.create_version(NAME)
        site.world.clock.advance(MINUTE_MS)
    sync_cut_short(site, NAME)
    # Number 10 was absent in the earlier life; in the new life neither 10 nor 11 was listed.
    assert site.ask("SELECT unexplained FROM streams") == [(2,)]
    site.sync()
    site.assert_true()


def test_documents_name_the_breakers_numbers_as_they_are() -> None:
    """The breaker's limit is in one document only, and it is the limit of the code."""
    docs = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md")}
    assert [name for name, text in docs.items() if "30 %" in text] == ["how-it-works.md"]
    assert LIMIT in docs["how-it-works.md"]


def test_state_is_valid_from_its_own_time(served: ServeWorld) -> None:
    """A state is valid from its creation or last modification, and never from before the state that it follows."""
    site = made(served, 1)
    created_ms = site.world.truth()[0].creation_ms
    site.sync()
    site.world.clock.advance(HOUR_MS)
    site.world.update_version(NAME, 1)
    modified_ms = site.world.clock.now_ms()
    site.world.clock.advance(HOUR_MS)
    site.sync()
    record = VersionRecord(
        version=1, creation_ms=created_ms, last_modified_ms=modified_ms - MINUTE_MS, status="CREATE_FAILED"
    )
    site.world.put_version(NAME, record)
    site.world.clock.advance(HOUR_MS)
    site.sync(full=True)
    make_again(site, 1)
    again_ms = site.world.truth()[0].creation_ms
    site.world.clock.advance(HOUR_MS)
    site.sync(full=True)
    told = (
        "SELECT etl_change, epoch_ms(etl_valid_from) FROM image_version_events WHERE etl_change <> 'deleted'"
    )
    assert site.ask(f"{told} ORDER BY etl_observed_at") == [
        ("created", created_ms),
        ("modified", modified_ms),
        ("modified", modified_ms),
        ("recreated", again_ms),
    ]
