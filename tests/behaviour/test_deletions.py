"""Deleted versions and images are marked with evidence, only after a proof, never because an answer is missing."""

from __future__ import annotations

import random
from collections.abc import Callable
from uuid import uuid4

import msgspec
import pytest
from aiohttp import web

from image_history.model import Outcome
from image_history.simulator import (
    Behaviour,
    Exchange,
    Fault,
    VersionRecord,
    VersionTruth,
    VirtualClock,
    generate,
)
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
HOUR_MS = 3_600_000


def site_of(served: ServeWorld, *, images: int = 4, versions: int = 20, largest: int | None = None) -> Site:
    """A site whose clock is frozen at noon."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return served(generate(19, images=images, versions_per_image=versions, largest=largest, clock=clock))


def synced_site(served: ServeWorld, *, versions: int = 20) -> Site:
    """A site of four images, synced once."""

    def make() -> Site:
        site = site_of(served, versions=versions)
        site.sync()
        return site

    return served.once(f"deletions-{versions}", make)


def names(site: Site) -> list[str]:
    """All images, the largest first."""
    rows = [row.image_name for row in site.world.truth()]
    return sorted(set(rows), key=lambda name: (-rows.count(name), name))


def deny(operation: str) -> Fault:
    """A fault: IAM denies this operation."""

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != operation:
            return None
        return web.Response(
            status=400,
            headers={"x-amzn-RequestId": str(uuid4()), "Content-Type": "application/x-amz-json-1.1"},
            body=b'{"__type":"AccessDeniedException","Message":"User is not authorized"}',
        )

    return fault


def tombstones(site: Site) -> list[tuple[object, ...]]:
    """Image, version and evidence of everything that is marked deleted."""
    return site.ask(
        "SELECT image_name, version, etl_delete_evidence FROM image_versions "
        "WHERE etl_deleted_at IS NOT NULL ORDER BY ALL"
    )


def test_deleted_version_is_marked_once_describe_confirms(served: ServeWorld) -> None:
    """A version that a listing lacks is looked up, then marked with evidence and the interval of its deletion."""
    site = synced_site(served)
    name = names(site)[0]
    site.simulator.clock.advance(HOUR_MS)
    site.sync()
    site.simulator.clock.advance(HOUR_MS)
    site.world.delete_version(name, 7)
    report = site.sync()
    assert report.rows.deleted == 1
    assert tombstones(site) == [(name, 7, "describe_not_found")]
    assert site.calls("DescribeImageVersion") == 1
    site.assert_true()
    assert site.ask(
        "SELECT etl_change, epoch_ms(etl_last_seen_at), epoch_ms(etl_valid_from) FROM image_version_events "
        "WHERE etl_change = 'deleted'"
    ) == [("deleted", NOON_MS + HOUR_MS - 1000, NOON_MS + 2 * HOUR_MS + 1000)]
    assert site.sync().rows.deleted == 0
    assert site.calls("DescribeImageVersion") == 0


def test_row_28_absent_version_that_describe_finds_stays(served: ServeWorld) -> None:
    """If a listing omits a live version, nothing is deleted, and the phantom is counted."""
    site = synced_site(served)
    name = names(site)[0]
    site.world.create_version(name)
    site.sync()

    async def omit(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "ListImageVersions" or exchange.image_name != name:
            return None
        body = msgspec.json.decode(exchange.body)
        body["ImageVersions"] = [row for row in body["ImageVersions"] if row["Version"] != 5]
        return web.Response(status=200, headers=exchange.headers, body=msgspec.json.encode(body))

    site.simulator.fault = omit
    report = site.sync()
    site.simulator.fault = None
    assert report.rows.deleted == 0
    assert site.ask("SELECT sum(phantoms) FROM coverage") == [(1,)]
    site.assert_true()


def test_deletion_without_describe_needs_two_listings(served: ServeWorld) -> None:
    """If DescribeImageVersion is denied, a version is deleted only if a second complete listing lacks it too."""
    site = synced_site(served)
    name = names(site)[0]
    site.world.delete_version(name, 7)
    site.simulator.fault = deny("DescribeImageVersion")
    report = site.sync()
    assert report.rows.deleted == 1
    assert tombstones(site) == [(name, 7, "absent_twice")]
    assert site.calls("ListImageVersions", name) == 2
    site.assert_true()


def test_deleted_image_takes_its_versions_along(served: ServeWorld) -> None:
    """An image that the list lacks is looked up once; its versions and its own row are marked as deleted."""
    site = synced_site(served, versions=5)
    name = names(site)[1]
    site.world.delete_image(name)
    report = site.sync()
    assert report.outcome is Outcome.COMPLETE
    assert report.rows.deleted == 5
    assert {row[2] for row in tombstones(site)} == {"image_not_found"}
    assert site.calls("DescribeImage") == 1
    assert site.ask(
        "SELECT image_name, etl_delete_evidence FROM images WHERE etl_deleted_at IS NOT NULL"
    ) == [(name, "image_not_found")]
    site.assert_true()
    site.sync()
    assert site.calls("DescribeImage") == 0


def test_image_that_only_the_list_of_images_lacks_stays(served: ServeWorld) -> None:
    """If the list of images omits a live image, nothing is deleted: the image's versions are listed as usual."""
    site = synced_site(served)
    name = names(site)[1]

    async def omit(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "ListImages":
            return None
        body = msgspec.json.decode(exchange.body)
        body["Images"] = [row for row in body["Images"] if row["ImageName"] != name]
        return web.Response(status=200, headers=exchange.headers, body=msgspec.json.encode(body))

    site.simulator.fault = omit
    report = site.sync()
    assert report.rows.deleted == 0
    assert site.calls("ListImageVersions", name) == 1
    site.assert_true()


@pytest.mark.parametrize("operation", ["ListImageVersions", "ListImages"])
def test_denied_listing_deletes_nothing(served: ServeWorld, operation: str) -> None:
    """If a listing is denied, a sync exits with 3 and deletes nothing."""
    site = synced_site(served)
    site.world.delete_version(names(site)[0], 7)
    before = site.stored()
    site.simulator.fault = deny(operation)
    outcome = site.run("sync")
    assert outcome.returncode == 3
    assert site.stored() == before
    assert tombstones(site) == []


def test_deleted_versions_of_a_large_image_cost_what_the_plan_says(served: ServeWorld) -> None:
    """100 deletions of 5,000 versions cost two full listings and one Describe each; a quiet full sync one listing."""
    site = site_of(served, images=1, versions=0, largest=5000)
    site.sync()
    name = names(site)[0]
    site.sync(full=True)
    assert site.calls("ListImageVersions", name) == 50
    assert site.calls("DescribeImageVersion") == 0
    for number in random.Random(3).sample(range(1, 4990), 100):
        site.world.delete_version(name, number)
    report = site.sync(full=True)
    assert report.rows.deleted == 100
    assert site.calls("ListImageVersions", name) == 98
    assert site.calls("DescribeImageVersion") == 100
    site.assert_true()
    site.sync(full=True)
    assert site.calls("ListImageVersions", name) == 49
    assert site.calls("DescribeImageVersion") == 0


def test_few_deletions_of_a_large_image_cost_one_describe_each(served: ServeWorld) -> None:
    """If there are fewer suspects than pages, each suspect is looked up, and the listing is not read again."""
    site = site_of(served, images=1, versions=0, largest=1000)
    site.sync()
    name = names(site)[0]
    for number in (3, 400, 401):
        site.world.delete_version(name, number)
    report = site.sync(full=True)
    assert report.rows.deleted == 3
    assert site.calls("ListImageVersions", name) == 10
    assert site.calls("DescribeImageVersion") == 3
    site.assert_true()


def test_numbers_that_were_gone_before_our_time_are_asked_for_once(served: ServeWorld) -> None:
    """Version numbers that a first listing lacks are looked up once, stored as absent, and never looked up again."""
    site = site_of(served, images=1, versions=0, largest=600)
    name = names(site)[0]
    for number in (100, 101, 102, 350):
        site.world.delete_version(name, number)
    site.sync()
    assert site.calls("DescribeImageVersion") == 4
    assert site.ask("SELECT first_version, last_version, evidence FROM absent_versions ORDER BY ALL") == [
        (100, 102, "describe_not_found"),
        (350, 350, "describe_not_found"),
    ]
    site.sync(full=True)
    assert site.calls("DescribeImageVersion") == 0
    assert site.calls("ListImageVersions", name) == 6


def test_new_number_that_is_gone_already_is_accounted_for(served: ServeWorld) -> None:
    """A version created and deleted between two runs leaves a gap in the numbers, which one Describe confirms."""
    site = site_of(served, images=1, versions=0, largest=300)
    site.sync()
    name = names(site)[0]
    site.simulator.clock.advance(HOUR_MS)
    gone = site.world.create_version(name)
    site.world.create_version(name)
    site.world.delete_version(name, gone)
    site.sync()
    assert site.calls("DescribeImageVersion") == 1
    assert site.ask("SELECT first_version, last_version FROM absent_versions") == [(gone, gone)]
    site.assert_true()


def test_mass_deletion_is_stopped_and_can_be_allowed(served: ServeWorld) -> None:
    """If over 30 % of a scope's versions are gone, a sync exits with 9; it deletes only with --allow-mass-delete."""
    site = synced_site(served)
    name = names(site)[0]
    for number in range(1, 19):
        site.world.delete_version(name, number)
    for other in names(site)[1:2]:
        for number in range(1, 12):
            site.world.delete_version(other, number)
    outcome = site.run("sync")
    assert outcome.returncode == 9, outcome.stderr
    assert "--allow-mass-delete" in outcome.stdout
    assert tombstones(site) == []
    assert site.calls("DescribeImageVersion") == 0
    outcome = site.run("sync", "--allow-mass-delete")
    assert outcome.returncode == 0
    assert len(tombstones(site)) == 29
    site.assert_true()


def test_row_32_all_images_gone_is_stopped_by_the_breaker(served: ServeWorld) -> None:
    """If all images of a scope are gone, a sync exits with 9; it deletes only with --allow-mass-delete."""
    site = synced_site(served)
    for name in names(site):
        site.world.delete_image(name)
    assert site.run("sync").returncode == 9
    assert tombstones(site) == []
    assert site.run("sync", "--allow-mass-delete").returncode == 0
    assert len(tombstones(site)) == 80
    assert site.ask("SELECT count(*) FROM images WHERE etl_deleted_at IS NULL") == [(0,)]


def test_row_31_deleted_and_recreated_image_closes_the_old_incarnation(served: ServeWorld) -> None:
    """If an image is recreated, the versions that it lacks are deleted, and those that it has again are recreated."""
    site = synced_site(served, versions=3)
    name = names(site)[0]
    site.simulator.clock.advance(HOUR_MS)
    site.world.delete_image(name)
    site.world.create_image(name)
    site.world.create_version(name)
    report = site.sync()
    assert (report.rows.inserted, report.rows.deleted) == (1, 2)
    site.assert_true()
    site.world.create_version(name)
    assert site.sync().rows.inserted == 1
    site.assert_true()
    assert site.ask(
        "SELECT version, etl_change FROM image_version_events "
        f"WHERE image_name = '{name}' ORDER BY version, etl_observed_at"
    ) == [
        (1, "created"),
        (1, "recreated"),
        (2, "created"),
        (2, "deleted"),
        (2, "recreated"),
        (3, "created"),
        (3, "deleted"),
    ]


def test_versions_of_an_earlier_image_do_not_count_as_a_mass_deletion(served: ServeWorld) -> None:
    """AWS says itself that each of these images is another one: nothing is held back."""
    site = synced_site(served)
    site.simulator.clock.advance(HOUR_MS)
    for name in names(site):
        site.world.delete_image(name)
        site.world.create_image(name)
    report = site.sync()
    assert (report.outcome.value, report.rows.deleted) == ("complete", 80)
    evidence = "SELECT DISTINCT etl_delete_evidence FROM image_versions WHERE etl_deleted_at IS NOT NULL"
    assert site.ask(evidence) == [("image_recreated",)]
    site.assert_true()


def test_tombstone_that_proves_wrong_is_lifted(served: ServeWorld) -> None:
    """A deleted version that is listed again with the same creation time reappears, and its history has no gap."""
    site = synced_site(served, versions=5)
    name = names(site)[0]
    row = next(row for row in site.world.truth() if (row.image_name, row.version) == (name, 2))
    site.world.delete_version(name, 2)
    site.sync()
    record = VersionRecord(
        version=2,
        creation_ms=row.creation_ms,
        last_modified_ms=row.last_modified_ms,
        status=row.status,
        failure_reason=row.failure_reason,
    )
    site.world.put_version(name, record)
    assert site.sync().rows.reappeared == 1
    site.assert_true()
    assert site.ask(
        "SELECT etl_change, etl_valid_from = etl_valid_to FROM image_version_history "
        f"WHERE image_name = '{name}' AND version = 2 ORDER BY etl_observed_at"
    ) == [("created", False), ("deleted", True), ("reappeared", None)]


def appears_again(site: Site, row: VersionTruth) -> None:
    """List the deleted version in one sync again, unchanged, and delete it again."""
    site.world.put_version(row.image_name, recorded(row))
    site.sync()
    site.world.delete_version(row.image_name, row.version)


def is_set_ahead(site: Site, row: VersionTruth) -> None:
    """List the deleted version in one sync again, as modified tomorrow, and delete it again."""
    record = recorded(row)
    site.world.put_version(
        row.image_name, msgspec.structs.replace(record, last_modified_ms=NOON_MS + 24 * HOUR_MS)
    )
    site.sync()
    site.world.delete_version(row.image_name, row.version)


def stays_away(site: Site, row: VersionTruth) -> None:
    """Do nothing."""


def recorded(row: VersionTruth) -> VersionRecord:
    """The record that puts a version back unchanged."""
    return VersionRecord(
        version=row.version,
        creation_ms=row.creation_ms,
        last_modified_ms=row.last_modified_ms,
        status=row.status,
        failure_reason=row.failure_reason,
    )


@pytest.mark.parametrize("meanwhile", [stays_away, appears_again, is_set_ahead])
@pytest.mark.parametrize("noticed", [False, True], ids=["at-once", "in-between"])
def test_next_life_ends_the_one_before(
    served: ServeWorld, meanwhile: Callable[[Site, VersionTruth], None], noticed: bool
) -> None:
    """If an image is recreated before the upper bound of its last known state, no state ends before it begins."""
    site = synced_site(served, versions=3)
    name = names(site)[0]
    row = next(row for row in site.world.truth() if (row.image_name, row.version) == (name, 1))
    site.world.clock.advance(HOUR_MS)
    site.world.delete_version(name, 1)
    site.sync()
    meanwhile(site, row)
    if noticed:
        site.sync()
    site.world.clock.advance(20)
    site.world.delete_image(name)
    site.world.create_image(name)
    site.world.create_version(name)
    site.sync()
    site.assert_true()
    history = site.ask(
        "SELECT etl_change, epoch_ms(etl_valid_from), epoch_ms(etl_valid_to), epoch_ms(etl_last_seen_at) "
        f"FROM image_version_history WHERE image_name = '{name}' AND version = 1 ORDER BY etl_observed_at"
    )
    born_ms = NOON_MS + HOUR_MS + 20
    assert history[0] == ("created", row.creation_ms, born_ms, None)
    assert {state[1:3] for state in history[1:-1]} == {(born_ms, born_ms)}
    assert history[-1] == ("recreated", born_ms, None, None)


def test_deleting_is_a_live_state(served: ServeWorld) -> None:
    """A version in the status DELETING is live until it is gone."""
    site = site_of(served)
    site.simulator.behaviour = Behaviour(delete_ms=2 * HOUR_MS)
    site.sync()
    name = names(site)[0]
    site.world.delete_version(name, 4)
    assert site.sync().rows.deleted == 0
    site.assert_true()
    site.simulator.clock.advance(3 * HOUR_MS)
    assert site.sync().rows.deleted == 1
    site.assert_true()


def test_row_37_modification_time_that_goes_back_is_taken_from_a_full_listing(served: ServeWorld) -> None:
    """A full listing replaces a stored state even if its modification time is earlier; the history stays in order."""
    site = site_of(served, versions=5)
    name = names(site)[0]
    record = VersionRecord(version=6, creation_ms=NOON_MS - 10, last_modified_ms=NOON_MS, status="CREATED")
    site.world.put_version(name, record)
    site.sync()
    site.world.put_version(
        name,
        VersionRecord(
            version=6, creation_ms=NOON_MS - 10, last_modified_ms=NOON_MS - 5, status="DELETE_FAILED"
        ),
    )
    assert site.sync().rows.updated == 1
    site.assert_true()
    assert site.ask("SELECT count(*) FROM image_version_history WHERE etl_valid_to < etl_valid_from") == [
        (0,)
    ]
