"""Details: what DescribeImageVersion and ListAliases return for versions with pending details, with a history."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from image_history.model import Outcome
from image_history.simulator import Behaviour, Exchange, VersionDetails, VirtualClock, World
from tests.behaviour.detailing import (
    DAY_MS,
    NOON_MS,
    STORED,
    asked,
    detailed,
    detailed_once,
    events,
    meanwhile,
    small_world,
    true_details,
)
from tests.behaviour.harness import ServeWorld, Site

if TYPE_CHECKING:
    from aiohttp import web

pytestmark = pytest.mark.duckdb


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """Three images of three versions, synced with their details."""
    return detailed_once(served)


def one_image(served: ServeWorld, versions: int, behaviour: Behaviour | None = None) -> Site:
    """One image, `base`, with this many versions; the first has the alias `prod`."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("base")
    for number in range(versions):
        world.create_version("base", aliases=["prod"] if not number else [])
    return served(world, behaviour)


def assert_detailed(site: Site) -> None:
    """Every live version is stored with the details that AWS has, and all tables agree."""
    assert set(site.ask(STORED)) == true_details(site.world)
    site.assert_true()


def test_details_of_128_images_are_the_truth(served: ServeWorld) -> None:
    """A first sync makes each call once for each version and stores every member; a quiet sync makes no such call."""
    site = served(small_world(images=128, versions=1))
    report = detailed(site)
    assert asked(site) == (128, 128)
    assert (report.calls.of("DescribeImageVersion"), report.calls.of("ListAliases")) == (128, 128)
    assert_detailed(site)
    assert set(site.ask("SELECT details, detailed FROM coverage WHERE image_name IS NOT NULL")) == {
        ("complete", 1)
    }
    before = site.ask("SELECT count(*), max(etl_changed_at) FROM image_versions")
    quiet = detailed(site)
    assert asked(site) == (0, 0)
    assert (quiet.rows.updated, quiet.rows.unchanged) == (0, 128)
    assert site.ask("SELECT count(*), max(etl_changed_at) FROM image_versions") == before
    assert site.ask("SELECT list_aliases_calls FROM runs ORDER BY started_at") == [(128,), (0,)]


def test_details_that_are_off_cost_nothing(served: ServeWorld) -> None:
    """Without the setting `details`, neither call is made, and no details are stored."""
    site = served(small_world())
    site.sync()
    assert asked(site) == (0, 0)
    assert site.ask(
        "SELECT count(*), count(aliases), count(container_image), count(etl_described_at) FROM image_versions"
    ) == [(9, 0, 0, 0)]
    assert site.ask("SELECT count(details) FROM coverage") == [(0,)]


def test_only_changed_versions_are_asked_for(site: Site) -> None:
    """A new version and an updated version cost one call of each kind; all other versions cost none."""
    name = site.world.truth()[0].image_name
    site.simulator.clock.advance(60_000)
    site.world.create_version(name, details=VersionDetails(processor="GPU", release_notes="new"))
    site.world.update_version(name, 1, details=VersionDetails(vendor_guidance="ARCHIVED"))
    report = detailed(site)
    assert asked(site) == (2, 2)
    assert (report.rows.inserted, report.rows.updated) == (1, 1)
    assert_detailed(site)
    (changed,) = [row[2] for row in events(site, name) if row[1] == "modified"]
    assert {"last_modified_time", "vendor_guidance", "container_image"} <= set(str(changed).split())
    detailed(site)
    assert asked(site) == (0, 0)


def test_moved_alias_is_found_by_details_every(site: Site) -> None:
    """A moved alias is found after `details_every`; both versions get an event dated between their two lookups."""
    name = site.world.truth()[0].image_name
    site.world.move_alias(name, "latest", 1)
    detailed(site)
    assert asked(site) == (0, 0)
    site.simulator.clock.advance(8 * DAY_MS)
    report = detailed(site)
    assert asked(site) == (9, 9)
    assert (report.rows.updated, report.rows.unchanged) == (2, 7)
    assert_detailed(site)
    found = "version, epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from), epoch_ms(etl_certain_from)"
    moved = f"SELECT {found} FROM image_version_events WHERE etl_changed_columns = ['aliases'] ORDER BY 1"
    first, second = NOON_MS, NOON_MS + 4_000 + 8 * DAY_MS
    assert site.ask(moved) == [(1, first, second, second), (3, first, second, second)]
    assert site.ask(
        "SELECT alias, from_version, to_version, epoch_ms(moved_after), epoch_ms(moved_by) "
        "FROM alias_moves WHERE from_version IS NOT NULL"
    ) == [("latest", 3, 1, first, second)]
    detailed(site)
    assert asked(site) == (0, 0)


def test_alias_that_moves_there_and_back_has_its_history(served: ServeWorld) -> None:
    """Each lookup that finds the alias moved adds an event to both versions; earlier states stay as they were."""
    site = one_image(served, 2)
    always = timedelta(0)
    detailed(site, details_every=always)
    for version in (2, 1):
        site.world.move_alias("base", "prod", version)
        detailed(site, details_every=always)
    assert_detailed(site)
    assert events(site, "base") == [
        (1, "created", "", "prod"),
        (2, "created", "", ""),
        (1, "modified", "aliases", ""),
        (2, "modified", "aliases", "prod"),
        (1, "modified", "aliases", "prod"),
        (2, "modified", "aliases", ""),
    ]
    assert site.ask("SELECT from_version, to_version FROM alias_moves ORDER BY learned_at") == [
        (None, 1),
        (1, 2),
        (2, 1),
    ]
    held = "SELECT version FROM image_versions_as_of(TIMESTAMPTZ '{}') WHERE list_contains(aliases, 'prod')"
    looks = site.ask("SELECT DISTINCT etl_valid_from::VARCHAR FROM image_version_events ORDER BY 1")
    assert [site.ask(held.format(at)) for (at,) in looks] == [[(1,)], [(2,)], [(1,)]]
    finished = site.ask("SELECT finished_at::VARCHAR FROM runs ORDER BY 1")
    assert [site.ask(held.format(at).replace("as_of", "known_at")) for (at,) in finished] == [
        [(1,)],
        [(2,)],
        [(1,)],
    ]


def test_new_version_takes_its_alias_from_the_one_that_had_it(served: ServeWorld) -> None:
    """If a new version takes an alias, the same sync looks up the aliases of the version that lost it."""
    site = one_image(served, 3)
    detailed(site)
    site.world.create_version("base", aliases=["prod"])
    detailed(site)
    assert asked(site) == (1, 2)
    assert_detailed(site)


def test_alias_that_moves_between_two_looks_is_at_one_version_only(served: ServeWorld) -> None:
    """If an alias moves between the lookups of two versions, both are looked up again before the load."""
    site = one_image(served, 2)
    detailed(site, concurrency=1)
    site.simulator.clock.advance(8 * DAY_MS)
    with meanwhile(site, "ListAliases", lambda: site.world.move_alias("base", "prod", 2)):
        detailed(site, concurrency=1)
    assert asked(site) == (2, 4)
    assert_detailed(site)


def test_version_that_is_being_created_is_asked_for_when_it_is_there(served: ServeWorld) -> None:
    """A version in the status CREATING, which has no container image yet, is looked up only when it is CREATED."""
    site = one_image(served, 0, Behaviour(create_ms=60_000))
    site.world.create_version(
        "base", aliases=["prod"], details=VersionDetails(container_image="r/i@sha256:ab")
    )
    detailed(site)
    assert asked(site) == (0, 0)
    site.simulator.clock.advance(61_000)
    detailed(site)
    assert asked(site) == (1, 1)
    assert_detailed(site)


def test_listed_version_that_describe_does_not_find_stays_pending(served: ServeWorld) -> None:
    """Row 29: if Describe does not find a listed version, it has no details; a later sync marks it as deleted."""
    site = one_image(served, 2, Behaviour(list_lag_ms=30_000))
    site.simulator.clock.advance(60_000)
    site.world.delete_version("base", 2)
    report = detailed(site)
    assert (report.outcome, asked(site)) == (Outcome.COMPLETE, (2, 1))
    assert site.ask(
        "SELECT version, aliases IS NULL, etl_described_at IS NULL FROM image_versions ORDER BY 1"
    ) == [
        (1, False, False),
        (2, True, True),
    ]
    site.simulator.clock.advance(60_000)
    report = detailed(site)
    assert report.rows.deleted == 1
    assert_detailed(site)


def test_incarnation_keeps_its_own_details(served: ServeWorld) -> None:
    """If a version is recreated during a sync, the stored incarnation does not get the details of the new one."""
    site = one_image(served, 1)

    def again() -> None:
        site.simulator.clock.advance(5_000)
        site.world.delete_image("base")
        site.world.create_image("base")
        site.world.create_version("base", details=VersionDetails(processor="GPU"))

    with meanwhile(site, "ListImageVersions", again):
        detailed(site)
    assert site.ask("SELECT processor, horovod, aliases FROM image_versions") == [(None, None, None)]
    detailed(site)
    assert_detailed(site)
    assert [row[:2] for row in events(site, "base")] == [(1, "created"), (1, "recreated")]


def test_state_keeps_its_own_details(served: ServeWorld) -> None:
    """If a version is updated after it was listed, the listed state does not get the details of the new one."""
    site = one_image(served, 1)

    def update() -> None:
        site.simulator.clock.advance(5_000)
        site.world.update_version(
            "base", 1, details=VersionDetails(processor="GPU", container_image="r/i@sha256:cd")
        )

    with meanwhile(site, "ListImageVersions", update):
        report = detailed(site)
    # The aliases do not belong to a state, so they are read all the same.
    assert (report.outcome, asked(site)) == (Outcome.COMPLETE, (1, 1))
    described = "SELECT processor, container_image, etl_described_at, aliases FROM image_versions"
    assert site.ask(described) == [(None, None, None, ["prod"])]
    detailed(site)
    assert asked(site) == (1, 1)
    assert_detailed(site)
    assert [row[:2] for row in events(site, "base")] == [(1, "created"), (1, "modified")]
    before = f"image_versions_as_of(make_timestamptz({NOON_MS + 5_999} * 1000))"
    assert site.ask(f"SELECT processor, container_image FROM {before}") == [(None, None)]


def test_time_in_whole_seconds_is_the_time_of_the_listed_state(served: ServeWorld) -> None:
    """If DescribeImageVersion gave its times in whole seconds, the details would not stay pending for ever."""
    site = one_image(served, 1)
    site.simulator.clock.advance(345)
    site.world.update_version("base", 1, details=VersionDetails(processor="GPU"))

    async def rounded(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "DescribeImageVersion":
            return None
        body = json.loads(exchange.body)
        times = {name: int(body[name]) for name in ("CreationTime", "LastModifiedTime")}
        whole = json.dumps(body | times).encode()
        return replace(
            exchange, body=whole, headers=exchange.headers | {"Content-Length": str(len(whole))}
        ).response()

    site.simulator.fault = rounded
    detailed(site)
    assert site.ask("SELECT processor, epoch_ms(last_modified_time) % 1000 FROM image_versions") == [
        ("GPU", 345)
    ]


def test_new_state_with_the_details_of_an_earlier_one_says_so(site: Site) -> None:
    """The event of a state whose details are pending has earlier details, and no time at which they were read."""
    name = site.world.truth()[0].image_name
    site.simulator.clock.advance(60_000)
    site.world.update_version(name, 1, details=VersionDetails(release_notes="new"))
    site.sync()
    detailed(site)
    told = (
        "SELECT etl_change, release_notes = 'new', epoch_ms(etl_described_at), epoch_ms(etl_aliases_at) "
        "FROM image_version_history WHERE image_name = '{}' AND version = 1 ORDER BY etl_observed_at"
    )
    later = NOON_MS + 62_000
    assert site.ask(told.format(name)) == [
        ("created", False, NOON_MS + 1_000, NOON_MS + 1_000),
        ("modified", False, None, None),
        ("modified", True, later, later),
    ]


def test_deleted_version_takes_its_last_details_with_it(site: Site) -> None:
    """The event of a deletion has the last known aliases, and alias_moves shows the move to no version."""
    name = site.world.truth()[0].image_name
    site.world.delete_version(name, 3)
    detailed(site)
    assert_detailed(site)
    assert events(site, name)[-1] == (3, "deleted", "", "latest")
    assert site.ask("SELECT alias, from_version, to_version FROM alias_moves WHERE to_version IS NULL") == [
        ("latest", 3, None)
    ]


def test_answers_are_stored_as_they_are(served: ServeWorld) -> None:
    """Horovod is false by default, as at AWS; an unknown value is stored and reported as drift; aliases are paged."""
    site = one_image(served, 2)
    site.world.update_version("base", 1, details=VersionDetails(processor="TPU", vendor_guidance="STABLE"))
    for number in range(150):
        site.world.move_alias("base", f"v{number}", 1)
    report = detailed(site)
    assert asked(site) == (2, 3)
    assert [(each.operation, each.member, each.value) for each in report.drift] == [
        ("DescribeImageVersion", "Processor", "TPU")
    ]
    told = "SELECT horovod, processor, vendor_guidance, base_image, len(aliases) FROM image_versions ORDER BY version"
    assert site.ask(told) == [(False, "TPU", "STABLE", None, 151), (False, None, None, None, 0)]
    assert_detailed(site)


def test_details_are_kept_by_syncs_without_them(site: Site) -> None:
    """In a sync without details, a changed version keeps its details; the next sync with details looks it up."""
    name = site.world.truth()[0].image_name
    site.simulator.clock.advance(60_000)
    site.world.set_status(name, 1, "DELETE_FAILED", failure_reason="in use")
    site.sync()
    assert asked(site) == (0, 0)
    assert_detailed(site)
    assert events(site, name)[-1][2] == "failure_reason image_version_status last_modified_time"
    detailed(site)
    assert asked(site) == (1, 1)


def test_views_tell_of_frameworks_digests_and_archived_versions(site: Site) -> None:
    """The views of digests, frameworks and archived versions show the details of the live versions."""
    truth = site.world.truth()
    digests = {
        (row.image_name, row.version): (row.details.container_image or "").partition(":")[2] for row in truth
    }
    told = site.ask("SELECT image_name, version, repository, digest, versions FROM container_digests")
    assert {(name, version): digest for name, version, _, digest, _ in told} == digests
    assert all("@" not in str(repository) and copies == 1 for _, _, repository, _, copies in told)
    assert site.ask("SELECT sum(versions) FROM versions_by_framework") == [(len(truth),)]
    archived = {
        (row.image_name, row.version)
        for row in truth
        if row.aliases and row.details.vendor_guidance in {"ARCHIVED", "TO_BE_ARCHIVED"}
    }
    assert set(site.ask("SELECT image_name, version FROM archived_but_aliased")) == archived
