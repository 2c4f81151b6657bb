"""Whole syncs against the simulated AWS: which rows are stored, how many calls that takes, what stays unchanged."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from image_history.model import Outcome
from image_history.simulator import Behaviour, Exchange, Fault, VersionRecord, VirtualClock, generate
from tests.behaviour.harness import ServeWorld, Site

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
WORLDS = [
    pytest.param(Behaviour(tokens=tokens, filtering=filtering), id=f"{tokens}-{filtering}")
    for tokens in ("keyset", "offset", "snapshot")
    for filtering in ("filter_then_page", "page_then_filter")
]


def busy_site(served: ServeWorld, behaviour: Behaviour | None = None, *, largest: int = 450) -> Site:
    """A site of 12 images, one of them larger than four pages, with a frozen clock."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return served(generate(11, images=12, versions_per_image=30, largest=largest, clock=clock), behaviour)


def synced_site(served: ServeWorld) -> Site:
    """The same site after one sync."""

    def make() -> Site:
        site = busy_site(served)
        site.sync()
        return site

    return served.once("busy", make)


def largest_image(site: Site) -> str:
    """The name of the image with the most versions."""
    counts: dict[str, int] = {}
    for row in site.world.truth():
        counts[row.image_name] = counts.get(row.image_name, 0) + 1
    return max(counts, key=lambda name: counts[name])


def image_names(site: Site) -> list[str]:
    """The names of all images, sorted."""
    return sorted({row.image_name for row in site.world.truth()})


def change_everything(site: Site, rng: random.Random, count: int) -> int:
    """Change the status of `count` different versions, half of them in the largest image."""
    large = largest_image(site)
    rows = [(row.image_name, row.version) for row in site.world.truth()]
    chosen = rng.sample([row for row in rows if row[0] == large], count // 2)
    chosen += rng.sample([row for row in rows if row[0] != large], count - count // 2)
    for name, version in chosen:
        site.world.set_status(name, version, "CREATE_FAILED", failure_reason=f"broken {version}")
    return count


@pytest.mark.parametrize("behaviour", WORLDS)
def test_sync_equals_the_truth_in_every_mode_of_paging(served: ServeWorld, behaviour: Behaviour) -> None:
    """After three syncs with changes in between the table equals AWS, for each kind of tokens and filters."""
    site, rng = busy_site(served, behaviour), random.Random(5)
    for _ in range(2):
        report = site.sync()
        assert report.outcome is Outcome.COMPLETE
        site.assert_true()
        site.simulator.clock.advance(3_600_000)
        change_everything(site, rng, 10)
        site.world.create_version(largest_image(site))
    site.sync()
    site.assert_true()


def test_quiet_sync_costs_one_call_an_image_and_writes_no_row(served: ServeWorld) -> None:
    """Without changes there are as many calls as images and pages of images, and no row is written."""
    site = synced_site(served)
    tables = ("image_versions", "image_version_events", "images", "streams")
    before = {name: site.ask(f"SELECT rowid, * FROM {name} ORDER BY rowid") for name in tables}
    report = site.sync()
    assert (report.rows.inserted, report.rows.updated, report.rows.reappeared) == (0, 0, 0)
    assert site.calls("ListImageVersions") == len(image_names(site))
    assert site.calls("ListImages") == 1
    assert report.calls.total == len(image_names(site)) + 1
    for name, rows in before.items():
        assert site.ask(f"SELECT rowid, * FROM {name} ORDER BY rowid") == rows, name


@pytest.mark.parametrize("changes", [1, 2, 7, 40])
def test_sync_after_changes_writes_exactly_those_rows(
    served: ServeWorld, rng: random.Random, changes: int
) -> None:
    """After k changes exactly k rows are updated, and k events are written."""
    site = synced_site(served)
    events = len(site.ask("FROM image_version_events"))
    site.simulator.clock.advance(3_600_000)
    change_everything(site, rng, changes)
    report = site.sync()
    assert (report.rows.inserted, report.rows.updated) == (0, changes)
    assert len(site.ask("FROM image_version_events")) == events + changes
    site.assert_true()


def test_large_image_is_read_newest_first_until_the_lookback(served: ServeWorld) -> None:
    """A large image is listed by last modification, newest first, without a filter, until the lookback begins."""
    site = served(generate(11, images=1, versions_per_image=12, clock=VirtualClock(frozen_at=NOON_MS)))
    name = largest_image(site)
    site.sync(page_size=4)

    def pages(minutes: int, *changed: int) -> list[bool]:
        """The list calls of a sync that many minutes later, after changes: whether each continues the one before."""
        site.simulator.clock.advance(minutes * 60_000)
        for version in changed:
            site.world.update_version(name, version)
        assert site.sync(page_size=4).rows.updated == len(changed)
        sent = [each.parameters for each in site.simulator.counters.log if each.image_name == name]
        for parameters in sent:
            assert {member: parameters[member] for member in parameters if member != "NextToken"} == {
                "ImageName": name,
                "MaxResults": 4,
                "SortBy": "LAST_MODIFIED_TIME",
                "SortOrder": "DESCENDING",
            }
        return ["NextToken" in parameters for parameters in sent]

    one, two_read_twice = [False], [False, True, False, True]
    assert pages(60, *range(1, 6)) == two_read_twice
    assert pages(14, 8) == two_read_twice
    # A sync reads from 15 minutes before the newest change that it knows: the five versions are within the lookback.
    assert pages(2, 7) == two_read_twice
    # Now they are before it.
    assert pages(0) == one


def test_large_image_is_listed_whole_when_reconciling_is_due(served: ServeWorld) -> None:
    """A large image is listed in full with --full, and when its last full listing is older than configured."""
    site = synced_site(served)
    name = largest_image(site)
    site.sync(full=True)
    assert site.calls("ListImageVersions", name) == 5
    site.simulator.clock.advance(2 * 3_600_000)
    site.sync(reconcile_every=timedelta(hours=1))
    assert site.calls("ListImageVersions", name) == 5
    site.sync(reconcile_every=timedelta(hours=1))
    assert site.calls("ListImageVersions", name) == 1


def test_new_image_gets_a_listing_of_its_own(served: ServeWorld) -> None:
    """An image that appears later is listed in full, although all its versions are older than the last sync."""
    site = synced_site(served)
    site.world.create_image("late-comer")
    for number in range(1, 131):
        old = VersionRecord(
            version=number, creation_ms=1_700_000_000_000 + number, last_modified_ms=1_700_000_000_500
        )
        site.world.put_version("late-comer", old)
    report = site.sync()
    assert report.rows.inserted == 130
    site.assert_true()


def test_recreated_image_starts_a_new_incarnation(served: ServeWorld) -> None:
    """A deleted and recreated image reuses number and ARN; the new version is stored, with the event `recreated`."""
    site = synced_site(served)
    name = next(image for image in image_names(site) if image != largest_image(site))
    site.simulator.clock.advance(60_000)
    site.world.delete_image(name)
    site.world.create_image(name)
    site.world.create_version(name)
    report = site.sync()
    assert report.rows.inserted == 1
    events = site.ask(
        f"SELECT etl_change FROM image_version_events WHERE image_name = '{name}' AND version = 1 "
        "ORDER BY etl_observed_at"
    )
    assert events == [("created",), ("recreated",)]


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kathmandu", "UTC"])
def test_row_38_every_member_is_exact_in_any_time_zone(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, zone: str
) -> None:
    """Every member is stored to the millisecond in any time zone, even in the hour that a clock change repeats."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    fold_ms = 1_793_511_000_000  # 2026-11-01 05:30 UTC: the first of two times 01:30 in New York
    clock = VirtualClock(frozen_at=NOON_MS + 10**10)
    site = served(generate(3, images=1, versions_per_image=0, clock=clock))
    name = "fold"
    site.world.create_image(name)
    for number, offset in enumerate((0, 1, 999, 3_600_000, 3_600_123), start=1):
        record = VersionRecord(
            version=number,
            creation_ms=fold_ms + offset,
            last_modified_ms=fold_ms + offset + 371,
            status="CREATE_FAILED",
            failure_reason='=cmd|"<script>" \N{SNOWMAN} ' + "x" * 900,
        )
        site.world.put_version(name, record)
    site.sync()
    site.assert_true()
    monkeypatch.undo()
    time.tzset()


def test_rows_touched_while_they_are_read_are_there_after_the_next_run(served: ServeWorld) -> None:
    """Versions that change between two pages are stored by this run or by the next, even with offset tokens."""
    site = busy_site(served, Behaviour(tokens="offset"))
    name = largest_image(site)
    touched = iter(range(1, 400, 7))

    def touch(_: Exchange) -> None:
        site.world.update_version(name, next(touched))

    site.simulator.fault = _after_each_page_of(name, touch)
    site.sync()
    site.simulator.fault = None
    site.simulator.clock.advance(1000)
    site.sync()
    site.assert_true()


def _after_each_page_of(name: str, act: Callable[[Exchange], None]) -> Fault:
    async def fault(_: object, exchange: Exchange) -> None:
        if exchange.operation == "ListImageVersions" and exchange.image_name == name:
            act(exchange)

    return fault


def test_row_36_future_modification_time_does_not_blind_later_runs(served: ServeWorld) -> None:
    """A LastModifiedTime one day in the future is stored, and later changes are still stored."""
    site = busy_site(served)
    name = largest_image(site)
    record = VersionRecord(
        version=900, creation_ms=NOON_MS, last_modified_ms=NOON_MS + 86_400_000, status="CREATED"
    )
    site.world.put_version(name, record)
    site.sync()
    site.simulator.clock.advance(3_600_000)
    site.world.update_version(name, 3)
    assert site.sync().rows.updated == 1
    site.assert_true()


def test_creating_versions_are_followed_until_they_are_created(served: ServeWorld) -> None:
    """A version that was stored as CREATING is updated when it is CREATED, however late that is."""
    site = busy_site(served, Behaviour(create_ms=5 * 3_600_000))
    name = largest_image(site)
    site.world.create_version(name)
    site.sync()
    site.simulator.clock.advance(6 * 3_600_000)
    report = site.sync()
    assert report.rows.updated == 1
    site.assert_true()


def test_behaviour_switches_leave_the_key_alone(served: ServeWorld) -> None:
    """Lower-case ARNs and the ARN None change no key: names keep their case, and numbers stay distinct."""
    site = busy_site(served, Behaviour(lowercase_arns=True, arn_none=True))
    site.sync()
    site.assert_true()
    site.simulator.behaviour = replace(site.simulator.behaviour, arn_none=False)
    site.sync(full=True)
    site.assert_true()
