"""A run that is loaded late, or beside another run, reverts nothing newer and settles no unsettled listing."""

from __future__ import annotations

import shutil
from datetime import timedelta

import msgspec
import pytest

from image_history.durable.effects import Effect
from image_history.errors import WarehouseLockedError
from image_history.landing.runs import Landing
from image_history.model import Outcome
from image_history.run import pipeline
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import VersionRecord, VirtualClock, World
from image_history.warehouse.findings import Held
from tests.behaviour.detailing import STORED, true_details
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.test_true_history import (
    DELETIONS,
    HOUR_MS,
    MINUTE_MS,
    NAME,
    NOON_MS,
    at,
    interrupted,
    load,
    refuse,
    synced,
    waiting,
)

pytestmark = pytest.mark.duckdb


def locked_at_first(site: Site) -> None:
    """Run a full sync that finds the warehouse locked when it plans, and unlocked from then on."""
    locked = [True]

    def once(subject: str) -> None:
        if locked.pop() if locked else False:
            refuse(subject)

    with at(Effect.BEGIN, once):
        sync(site.config, options=SyncOptions(full=True))
    assert not locked


def seen_by_one_that_waits(site: Site) -> tuple[int, int]:
    """Delete a version that only a waiting run has seen; return its number, and the time of the deletion."""
    number = site.world.create_version(NAME)
    site.world.clock.advance(MINUTE_MS)
    waiting(site)
    site.world.clock.advance(MINUTE_MS)
    site.world.delete_version(NAME, number)
    went_ms = site.world.clock.now_ms()
    site.world.clock.advance(MINUTE_MS)
    return number, went_ms


@pytest.mark.parametrize("more", [0, 1], ids=["highest", "in-between"])
def test_version_of_a_waiting_run_is_a_suspect(served: ServeWorld, more: int) -> None:
    """A version that a waiting run has seen is looked for, although that run could not be loaded at first."""
    site = synced(served, 9, page_size=4)
    number, went_ms = seen_by_one_that_waits(site)
    for _ in range(more):
        site.world.create_version(NAME)
    locked_at_first(site)
    site.assert_true()
    assert [row[0] for row in site.ask(DELETIONS)] == [number]
    ((_, seen, gone, _),) = site.ask(DELETIONS)
    assert int(str(seen)) <= went_ms <= int(str(gone))


def test_version_of_another_landing_is_not_settled(served: ServeWorld) -> None:
    """If another landing loads a version between settling and loading, the listing is recorded as partial."""
    site = synced(served, 9, page_size=4)
    _, went_ms = seen_by_one_that_waits(site)
    first = Landing(site.config.landing_folder)
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    with at(Effect.BEGIN, refuse), pytest.raises(WarehouseLockedError):
        sync(second, options=SyncOptions(full=True))
    load(site, list(first.runs()))
    load(site, list(Landing(second.landing_folder).runs()))
    told = "SELECT outcome, error_code FROM coverage WHERE image_name IS NOT NULL ORDER BY t0 DESC LIMIT 1"
    assert site.ask(told) == [("partial", "UnsettledListing")]
    site.world.clock.advance(HOUR_MS)
    site.sync(full=True)
    site.assert_true()
    ((_, seen, gone, _),) = site.ask(DELETIONS)
    assert int(str(seen)) <= went_ms <= int(str(gone))


def test_listing_that_was_read_but_not_compared_says_so(served: ServeWorld) -> None:
    """A run that was read, but not compared with the locked warehouse, is loaded, and its coverage says so."""
    site = synced(served, 3)
    site.world.create_version(NAME)

    def locked(_connection: object, _run: object) -> Held:
        raise WarehouseLockedError("The warehouse is held by a test.", holder="a test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "hold_against", locked)
        with pytest.raises(WarehouseLockedError):
            sync(site.config, options=SyncOptions(full=True))
    load(site, list(Landing(site.config.landing_folder).runs()))
    told = "SELECT outcome, error_message FROM coverage WHERE image_name IS NOT NULL ORDER BY t0 DESC LIMIT 1"
    assert site.ask(told) == [
        ("partial", "It was read, but not compared with the warehouse; the next sync does that.")
    ]
    site.world.clock.advance(HOUR_MS)
    site.sync()
    assert site.ask(told) == [("complete", None)]
    site.assert_true()


def test_older_list_of_images_leaves_those_alone_that_a_newer_one_did_not_ask_for(served: ServeWorld) -> None:
    """A waiting run is loaded after a newer run of one image only: its other image is live, and can be deleted."""
    site = synced(served, 3)
    site.world.create_image("other")
    site.world.create_version("other")
    site.world.clock.advance(MINUTE_MS)
    waiting(site)
    site.world.clock.advance(MINUTE_MS)
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    sync(second, options=SyncOptions(images=(NAME,)))
    load(site, list(Landing(site.config.landing_folder).runs()))
    site.assert_true()
    live = "SELECT image_name FROM images WHERE etl_deleted_at IS NULL ORDER BY ALL"
    assert site.ask(live) == [(NAME,), ("other",)]
    site.world.delete_image("other")
    site.world.clock.advance(HOUR_MS)
    shutil.rmtree(site.config.landing_folder)
    site.sync(full=True)
    site.assert_true()


def test_older_list_of_images_of_one_that_is_gone(served: ServeWorld) -> None:
    """A waiting run is loaded after a newer run that did not see its image: the image is marked as deleted."""
    site = synced(served, 3)
    site.world.create_image("other")
    site.world.create_version("other")
    site.world.clock.advance(MINUTE_MS)
    waiting(site)
    site.world.clock.advance(MINUTE_MS)
    site.world.delete_image("other")
    site.world.clock.advance(MINUTE_MS)
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    sync(second, options=SyncOptions())
    load(site, list(Landing(site.config.landing_folder).runs()))
    shutil.rmtree(site.config.landing_folder)
    site.world.clock.advance(HOUR_MS)
    site.sync(full=True)
    site.assert_true()


def test_older_proof_holds_where_only_another_image_was_read_since(served: ServeWorld) -> None:
    """A waiting run's proof of a deletion holds if newer runs have read only other images."""
    site = synced(served, 3)
    site.world.create_image("other")
    site.world.create_version("other")
    site.world.clock.advance(MINUTE_MS)
    site.sync()
    site.world.delete_version(NAME, 2)
    site.world.clock.advance(MINUTE_MS)
    waiting(site)
    site.world.update_version("other", 1)
    site.world.clock.advance(MINUTE_MS)
    second = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    sync(second, options=SyncOptions(images=("other",)))
    load(site, list(Landing(site.config.landing_folder).runs()))
    assert [row[0] for row in site.ask(DELETIONS)] == [2]
    site.assert_true()


def test_older_answers_about_details_change_nothing_newer(served: ServeWorld) -> None:
    """Two waiting runs have details: the later answers are kept, even if the earlier run is loaded last."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image(NAME)
    world.create_version(NAME, aliases=["a"])
    world.create_version(NAME)
    site = served(world)
    site.config = msgspec.structs.replace(site.config, details=True)
    site.sync()
    every = msgspec.structs.replace(site.config, details_every=timedelta(minutes=1))
    for alias in ("b", "c"):
        site.world.clock.advance(HOUR_MS)
        site.world.move_alias(NAME, alias, 1)
        with at(Effect.BEGIN, refuse), pytest.raises(WarehouseLockedError):
            sync(every, options=SyncOptions())
    runs = sorted(Landing(site.config.landing_folder).runs(), key=lambda run: run.plan.t0_ms)
    assert len(runs) == 2
    load(site, runs[::-1])
    assert set(site.ask(STORED)) == true_details(site.world)
    assert Outcome.COMPLETE is site.sync().outcome
    assert set(site.ask(STORED)) == true_details(site.world)


def test_version_that_was_read_after_the_proof_of_its_absence_stays(served: ServeWorld) -> None:
    """A proof of absence is void if an unfinished reading has seen the version after it."""
    site = synced(served, 9, page_size=4)
    (hidden,) = [row for row in site.world.truth() if row.version == 2]
    site.world.delete_version(NAME, 2)
    waiting(site, full=True)
    site.world.clock.advance(MINUTE_MS)
    now_ms = site.world.clock.now_ms()
    site.world.put_version(
        NAME, VersionRecord(version=2, creation_ms=hidden.creation_ms, last_modified_ms=now_ms)
    )
    site.world.clock.advance(MINUTE_MS)
    first = Landing(site.config.landing_folder)
    site.config = msgspec.structs.replace(site.config, landing=site.folder / "second.landing")
    interrupted(site, call=2, full=True)
    load(site, list(Landing(site.config.landing_folder).runs()))
    load(site, list(first.runs()))
    assert site.ask(DELETIONS) == []
    site.assert_true()
