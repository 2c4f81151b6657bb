"""`image-history plan` after unusual events: where it gives one number of calls, the next sync makes that number."""

from __future__ import annotations

from datetime import timedelta

import duckdb
import msgspec
import pytest

from image_history.config import Account
from image_history.durable.effects import Effect
from image_history.errors import ConfigError, WarehouseLockedError
from image_history.forecast.estimate import ALIASES, NONE, OPERATIONS, Listing, Reason, Span, total_calls
from image_history.forecast.forecasting import Forecast, forecast
from image_history.model import Outcome
from image_history.run.pipeline import SyncOptions, sync
from image_history.simulator import VirtualClock, World, generate
from tests.behaviour.checking import refusing, sync_cut_short
from tests.behaviour.detailing import NOON_MS, small_world
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.hinting import MINUTE_MS, Killed, hinted_site, installed, killing
from tests.behaviour.test_plan_verb import (
    HOUR_MS,
    days_go_by,
    foreseen,
    interrupted,
    lists,
    reasons,
    world_of,
)
from tests.behaviour.test_refusals import held

pytestmark = pytest.mark.duckdb

LISTED = "ListImageVersions"
DESCRIBED = "DescribeImageVersion"
CONFIRMED = "DescribeImage"


def planned(found: Forecast, operation: str) -> Span:
    """The planned calls of one operation."""
    return total_calls(found.scopes).get(operation, NONE)


def assert_kept(site: Site, found: Forecast, **options: object) -> None:
    """The next sync makes the planned calls of each operation; where the plan has a range, it has a reason."""
    spans = {operation: planned(found, operation) for operation in (*OPERATIONS, ALIASES)}
    assert all(span.exact for span in spans.values()) or reasons(found)
    site.sync(**options)
    for operation, span in spans.items():
        made = site.calls(operation)
        assert span.low <= made, operation
        assert span.high is None or made <= span.high, operation


def left_waiting(site: Site, **changes: object) -> None:
    """Run a sync that reads everything while another process holds the warehouse: its rows wait in the landing."""
    with held(site.config.warehouse), pytest.raises(WarehouseLockedError):
        site.sync(lock_wait=timedelta(0), **changes)


# Unfinished runs


def test_vanished_image_that_was_confirmed_costs_nothing_again(served: ServeWorld) -> None:
    """If the unfinished run has confirmed already that an image is gone, no call is planned for it."""
    site = served(world_of(gone=3))
    site.sync()
    site.world.delete_image("gone")
    interrupted(site, 1)
    found = foreseen(site)
    assert (planned(found, LISTED), planned(found, CONFIRMED)) == (NONE, NONE)
    assert found.continued is not None
    assert_kept(site, found)
    assert site.calls(CONFIRMED) == 0


def test_second_reading_of_an_unfinished_run_is_planned_without_the_first(served: ServeWorld) -> None:
    """If a listing is to be read again, the calls of the reading that ended are not planned again."""
    site = served(world_of(burst_large=250))
    site.sync()
    interrupted(site, 4)
    found = foreseen(site)
    assert_kept(site, found)
    assert site.calls(LISTED) == 2


def test_deletion_that_an_unfinished_run_has_read_is_looked_up(served: ServeWorld) -> None:
    """If the unfinished run has read a listing that lacks a version, the plan is a range with its reason."""
    site = served(world_of(small=20))
    site.sync()
    site.world.delete_version("small", 7)
    interrupted(site, 1)
    found = foreseen(site)
    assert reasons(found) == {Reason.UNSETTLED: ("small",)}
    assert_kept(site, found)
    assert site.calls(DESCRIBED) == 1


def test_listing_that_lacks_nothing_is_settled_without_a_call(served: ServeWorld) -> None:
    """If the unfinished run has read listings to their end and no version is missing, no call is planned."""
    site = served(world_of(small=20, large=250))
    site.sync()
    days_go_by(site)
    site.world.create_version("small")
    interrupted(site, 4)
    found = foreseen(site)
    assert lists(found) == NONE
    assert reasons(found) == {}
    assert_kept(site, found)


def test_killed_run_that_rests_on_another_state_is_not_continued(served: ServeWorld) -> None:
    """After a backup is put back, the plan begins anew, as the sync does: the unfinished run is only loaded."""
    site = served(world_of(large=250))
    site.sync()
    backup = site.config.warehouse.read_bytes()
    days_go_by(site)
    site.sync()
    days_go_by(site)
    interrupted(site, 2)
    site.config.warehouse.write_bytes(backup)
    found = foreseen(site)
    assert found.continued is None
    assert len(found.waiting) == 1
    assert reasons(found) == {Reason.WAITING: ("large",)}
    assert_kept(site, found)
    assert site.calls("ListImages") == 1


# Details


def detailing(site: Site, **changes: object) -> None:
    """Configure details that are read once."""
    site.config = msgspec.structs.replace(
        site.config, **{"details": True, "details_every": timedelta(days=3650), "concurrency": 1, **changes}
    )


def killed_at_details(site: Site, file: int) -> None:
    """Run a sync that is killed before its n-th file of details has its name; each file has one lookup."""
    seen: list[str] = []

    def kill(effect: Effect, what: str) -> None:
        if (effect, what) == (Effect.RENAME, "details"):
            seen.append(what)
            if len(seen) == file:
                raise Killed

    with installed(kill), pytest.raises(Killed):
        site.sync(checkpoint_rows=1)


@pytest.mark.parametrize("budget", [None, 10])
def test_details_of_an_unfinished_run_are_planned_once(served: ServeWorld, budget: int | None) -> None:
    """Details that an unfinished run has landed are not planned again, and its calls count towards the budget."""
    site = served(small_world(images=2, versions=4))
    site.sync()
    detailing(site, details_budget=budget)
    killed_at_details(site, 3)
    found = foreseen(site)
    assert found.continued is not None
    assert reasons(found) == {}
    # How many calls the files count as spent depends on when each file was written.
    assert planned(found, DESCRIBED) in ([Span.of(6)] if budget is None else [Span.of(2), Span.of(3)])
    assert_kept(site, found)


def test_details_of_versions_that_an_unfinished_run_has_read_are_planned(served: ServeWorld) -> None:
    """New versions that an unfinished run has landed are planned with their details."""
    site = served(small_world(images=2, versions=4))
    detailing(site)
    site.sync()
    image = min(row.image_name for row in site.world.truth())
    site.simulator.clock.advance(HOUR_MS)
    site.world.create_version(image)
    site.simulator.clock.advance(HOUR_MS)
    killed_at_details(site, 1)
    found = foreseen(site)
    assert found.continued is not None
    assert (planned(found, DESCRIBED), planned(found, ALIASES)) == (Span.of(1), Span.of(1))
    assert_kept(site, found)
    assert site.calls(DESCRIBED) == 1


@pytest.mark.parametrize("days", [0, 2])
def test_age_of_details_is_judged_by_the_clock_of_aws(served: ServeWorld, days: int) -> None:
    """Whether details are old is judged by AWS's clock, as in a sync: the local clock here is months ahead."""
    site = served(small_world(images=2, versions=4))
    detailing(site, details_every=timedelta(days=1))
    site.sync()
    site.simulator.clock.advance(days * 24 * HOUR_MS)
    found = foreseen(site)
    due = 8 if days else 0
    assert (planned(found, DESCRIBED), planned(found, ALIASES)) == (Span.of(due), Span.of(due))
    assert_kept(site, found)


def test_details_of_a_vanished_image_are_not_planned(served: ServeWorld) -> None:
    """The pending details of an image that is gone are not looked up, because its versions end with it."""
    site = served(small_world(images=2, versions=4))
    site.sync()
    detailing(site)
    site.world.delete_image(min(row.image_name for row in site.world.truth()))
    found = foreseen(site)
    assert planned(found, DESCRIBED) == Span.of(4)
    assert_kept(site, found)


def test_details_of_an_image_that_was_not_read_whole_are_a_range(served: ServeWorld) -> None:
    """If pages of an image were never read, the details of its unknown versions are part of the range."""
    site = served(world_of(large=250))
    sync_cut_short(site, "large")
    site.simulator.fault = None
    detailing(site)
    found = foreseen(site)
    assert reasons(found) == {Reason.UNREAD: ("large",)}
    assert_kept(site, found)
    assert site.calls(DESCRIBED) == 250


def test_alias_on_two_versions_is_looked_up_again(served: ServeWorld) -> None:
    """If the stored aliases of two versions contradict each other, the call that decides between them is planned."""
    site = served(small_world(images=1, versions=4))
    detailing(site)
    site.sync()
    with duckdb.connect(site.config.warehouse) as connection:
        connection.execute("UPDATE image_versions SET aliases = ['latest'] WHERE version IN (1, 2)")
    site.simulator.clock.advance(HOUR_MS)
    found = foreseen(site)
    assert planned(found, DESCRIBED) == NONE
    assert planned(found, ALIASES).low >= 2
    assert_kept(site, found)


def test_budget_between_versions_that_lack_one_call_is_a_range(served: ServeWorld) -> None:
    """If some versions lack one kind of details, and others the other kind, the plan of a budget is a range."""
    site = served(small_world(images=1, versions=8))
    detailing(site)
    site.sync()
    with duckdb.connect(site.config.warehouse) as connection:
        connection.execute("UPDATE image_versions SET etl_described_at = NULL WHERE version % 2 = 0")
        connection.execute("UPDATE image_versions SET etl_aliases_at = NULL WHERE version % 2 = 1")
    site.simulator.clock.advance(HOUR_MS)
    detailing(site, details_budget=3)
    found = foreseen(site)
    assert planned(found, DESCRIBED) == Span(0, 3)
    site.sync()
    assert site.calls(DESCRIBED) + site.calls("ListAliases") == 3


# Runs that wait for the warehouse


def test_image_that_vanished_beside_a_waiting_run_may_cost_two_calls(served: ServeWorld) -> None:
    """If rows of a vanished image wait to be loaded, its confirmation is part of the plan's range."""
    site = served(world_of(gone=3, small=3))
    site.sync()
    left_waiting(site)
    site.world.delete_image("gone")
    found = foreseen(site)
    assert (planned(found, CONFIRMED), found.waiting != ()) == (Span(0, 1), True)
    assert_kept(site, found)
    assert site.calls(CONFIRMED) == 1


def test_image_that_only_a_waiting_run_has_seen_may_cost_two_calls(served: ServeWorld) -> None:
    """An image that a waiting run saw first, and that is gone now, is part of the plan's range."""
    site = served(world_of(small=3))
    site.sync()
    site.world.create_image("brief")
    site.world.create_version("brief")
    left_waiting(site)
    site.world.delete_image("brief")
    found = foreseen(site)
    assert reasons(found) == {Reason.WAITING: ("small", "brief")}
    assert_kept(site, found)
    assert (site.calls(LISTED, "brief"), site.calls(CONFIRMED)) == (1, 1)


def test_details_of_versions_in_a_waiting_run_are_a_range(served: ServeWorld) -> None:
    """New versions that wait to be loaded lack details: their calls are part of the plan's range."""
    site = served(small_world(images=2, versions=4))
    detailing(site)
    site.sync()
    site.simulator.clock.advance(HOUR_MS)
    image = min(row.image_name for row in site.world.truth())
    site.world.create_version(image)
    site.simulator.clock.advance(HOUR_MS)
    left_waiting(site)
    found = foreseen(site)
    assert planned(found, DESCRIBED) == Span(0, None)
    assert set(reasons(found)) == {Reason.WAITING}
    assert_kept(site, found)
    assert site.calls(DESCRIBED) == 1


def test_hint_that_a_waiting_run_has_settled_may_cost_no_call(served: ServeWorld) -> None:
    """A hinted image that a waiting run has listed may rest once that run is loaded: the plan's range begins at 0."""
    hinted = hinted_site(served, images=4, versions=3)
    site = hinted.site
    site.sync()
    hinted.clock.advance(5 * MINUTE_MS)
    hinted.hint(hinted.images[0])
    hinted.clock.advance(2 * MINUTE_MS)
    left_waiting(site)
    found = foreseen(site)
    assert lists(found).low == 0
    assert set(reasons(found)) == {Reason.WAITING}
    assert_kept(site, found)


def test_nothing_rests_on_a_backup_although_a_waiting_run_is_loaded_first(served: ServeWorld) -> None:
    """After a backup is put back, the sync that loads a waiting run lets no image rest, as the plan says."""
    hinted = hinted_site(served, images=4, versions=3)
    site = hinted.site
    site.sync()
    backup = site.config.warehouse.read_bytes()
    image = hinted.images[0]
    site.world.create_version(image)
    hinted.hint(image)
    hinted.clock.advance(2 * MINUTE_MS)
    site.sync()
    assert hinted.waiting() == []
    with installed(killing(Effect.RENAME, "segment")), pytest.raises(Killed):
        site.sync(images=(hinted.images[1],))
    site.config.warehouse.write_bytes(backup)
    hinted.clock.advance(2 * MINUTE_MS)
    found = foreseen(site)
    assert found.waiting != ()
    assert_kept(site, found)
    assert site.calls(LISTED, image) == 1
    site.assert_true()


def test_image_at_rest_with_waiting_rows_may_be_listed(served: ServeWorld) -> None:
    """If rows of an image that may rest wait to be loaded, the plan has a range for it."""
    hinted = hinted_site(served, images=4, versions=3)
    site = hinted.site
    site.sync()
    hinted.clock.advance(5 * MINUTE_MS)
    with installed(killing(Effect.RENAME, "segment")), pytest.raises(Killed):
        site.sync(full=True)
    found = foreseen(site)
    assert dict(found.scopes[0].listings) == {Listing.REST: 4}
    assert lists(found) == Span(0, None)
    assert_kept(site, found)


# Deletions that are held back


def held_back(site: Site, *images: str, keep: int) -> None:
    """Delete all but some versions of these images, and run a sync that holds the deletions back."""
    days_go_by(site)
    for image in images:
        numbers = [row.version for row in site.world.truth() if row.image_name == image]
        for number in numbers[keep:]:
            site.world.delete_version(image, number)
    assert site.sync().outcome is Outcome.HELD_BACK
    site.simulator.clock.advance(HOUR_MS)


@pytest.mark.parametrize("keep", [50, 130])
def test_listing_after_deletions_were_held_back_has_the_pages_that_are_left(
    served: ServeWorld, keep: int
) -> None:
    """Versions whose deletion is held back are not listed: they are planned no pages, and no lookups."""
    site = served(world_of(large=250))
    site.sync()
    held_back(site, "large", keep=keep)
    found = foreseen(site)
    assert lists(found) == Span.of(1 if keep == 50 else 2)
    assert_kept(site, found)
    assert site.calls(DESCRIBED) == 0


@pytest.mark.parametrize(
    "options", [{"images": ("one",)}, {"allow_mass_delete": True}], ids=["one image", "allowed"]
)
@pytest.mark.parametrize("details", [False, True], ids=["without details", "with details"])
def test_deletions_that_the_breaker_lets_through_are_a_range(
    served: ServeWorld, details: bool, options: dict[str, object]
) -> None:
    """If fewer versions are missing than the breaker allows, or all are allowed, lookups are part of the range."""
    site = served(world_of(one=20, two=20))
    site.sync()
    held_back(site, "one", "two", keep=12)
    detailing(site, details=details)
    found = foreseen(site, **options)
    assert Reason.HELD_BACK in reasons(found)
    assert_kept(site, found, **options)
    assert site.calls(DESCRIBED) >= 8


def test_details_of_versions_that_are_held_back_are_a_range(served: ServeWorld) -> None:
    """The pending details of versions that AWS lacks, and that are not marked deleted, are looked up in vain."""
    site = served(world_of(large=20))
    site.sync()
    held_back(site, "large", keep=5)
    detailing(site)
    found = foreseen(site)
    assert planned(found, DESCRIBED) == Span(0, 20)
    assert reasons(found) == {Reason.HELD_BACK: ("large",)}
    assert_kept(site, found)


def test_details_of_an_unfinished_run_that_holds_deletions_back_are_a_range(served: ServeWorld) -> None:
    """If the unfinished run holds deletions back, the pending details of its versions may be looked up in vain."""
    site = served(world_of(large=20))
    site.sync()
    days_go_by(site)
    for number in range(6, 21):
        site.world.delete_version("large", number)
    detailing(site)
    killed_at_details(site, 1)
    found = foreseen(site)
    assert dict(found.scopes[0].listings) == {Listing.DONE: 1}
    assert reasons(found) == {Reason.HELD_BACK: ("large",)}
    assert_kept(site, found)


# Images that were never read whole


def test_image_that_was_denied_at_first_is_a_range(served: ServeWorld) -> None:
    """If every call for an image failed so far, the number of its versions is unknown."""
    site = served(world_of(large=250, small=3))
    site.simulator.fault = refusing(
        "AccessDeniedException", "No.", lambda exchange: exchange.image_name == "large"
    )
    site.sync()
    site.simulator.fault = None
    found = foreseen(site)
    assert ("large",) in reasons(found).values()
    assert_kept(site, found)
    assert site.calls(LISTED, "large") == 3


@pytest.mark.parametrize("unfinished", [False, True])
def test_version_that_may_have_taken_an_alias_is_a_caveat(served: ServeWorld, unfinished: bool) -> None:
    """If its aliases were never read, the version that had the alias may be looked up again: the plan says so."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("base")
    world.create_version("base", aliases=["latest"])
    site = served(world)
    site.config = msgspec.structs.replace(site.config, details=True, details_every=timedelta(days=3650))
    site.sync()
    site.simulator.clock.advance(MINUTE_MS)
    world.create_version("base", aliases=["latest"])
    site.simulator.clock.advance(MINUTE_MS)
    if unfinished:
        with pytest.raises(Killed), installed(killing(Effect.FETCHED, "DescribeImageVersion")):
            site.sync()
    else:
        site.sync(details=False)
    found = foreseen(site)
    assert planned(found, ALIASES) == Span.of(1)
    assert [dict(scope.caveats) for scope in found.scopes] == [{Reason.ALIASES: ("base",)}]
    site.sync()
    assert site.calls(ALIASES) == 2
    assert not any(scope.caveats for scope in foreseen(site).scopes)


def test_scope_that_is_not_named_costs_no_call(served: ServeWorld) -> None:
    """With --scope, only the named scope's images are listed, as planned and as recorded."""
    world = generate(17, images=2, versions_per_image=2, regions=3)
    site = served(world)
    account = Account(regions=tuple(region for _, region in world.scopes))
    site.config = msgspec.structs.replace(site.config, accounts=(account,))
    options = SyncOptions(scopes=("/".join(world.scopes[1]),))
    found = forecast(site.config, options=options)
    site.simulator.counters.reset()
    report = sync(site.config, options=options)
    made = {name: site.calls(name) for name in ("ListImages", "ListImageVersions")}
    assert made == {"ListImages": 1, "ListImageVersions": 2} == report.calls.by_operation
    assert planned(found, "ListImages") == Span.of(1)
    with pytest.raises(ConfigError, match=r"there are: .*us-east-1"):
        sync(site.config, options=SyncOptions(scopes=("111122223333/nowhere",)))
