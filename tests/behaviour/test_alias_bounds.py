"""Both instants of a row of `alias_moves` hold: for deleted and recreated versions, and within one second."""

from __future__ import annotations

from datetime import timedelta
from email.utils import formatdate

import pytest

from image_history.listing.pages import MARGIN_MS
from image_history.simulator import Exchange, VirtualClock, World
from image_history.warehouse.statements import statement
from tests.behaviour.detailing import DAY_MS, NOON_MS, detailed, meanwhile
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.rows import Row, Rows, instant, rows
from tests.behaviour.test_details import one_image

__all__ = ["rows"]

pytestmark = pytest.mark.duckdb

ALWAYS = timedelta(0)
PROD: Row = {"aliases": ["prod"], "etl_certain_from": 20}
MOVES = """
SELECT from_version, to_version, epoch_ms(moved_after), epoch_ms(moved_by)
FROM alias_moves ORDER BY learned_at, to_version
"""
STAMP: Row = {"run_id": "run-2", "observed_at": instant(130).isoformat()}


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """One image with two versions, of which the first has the alias `prod`, synced with their details."""
    world = World(clock=VirtualClock(frozen_at=NOON_MS))
    world.create_image("base")
    world.create_version("base", aliases=["prod"])
    world.create_version("base")
    site = served(world)
    detailed(site)
    return site


def last_move(site: Site) -> tuple[object, object, int, int]:
    """The move that was learned last: from, to, and its two instants in epoch milliseconds."""
    from_version, to_version, after_ms, by_ms = site.ask(MOVES)[-1]
    return from_version, to_version, int(str(after_ms)), int(str(by_ms))


def moves(rows: Rows, *events: Row) -> list[tuple[object, ...]]:
    """The rows of alias_moves after these events of version 1, one at each instant 1000, 1001, ..., in seconds."""
    for number, event in enumerate(events):
        rows.stored(
            "image_version_events", {"etl_observed_at": 1000 + number, "etl_certain_from": 20, **event}
        )
    asked = "from_version, to_version, epoch(moved_after) AS after, epoch(moved_by) AS by"
    begun = int(instant(0).timestamp())
    told = rows.connection.duck.execute(f"SELECT {asked} FROM alias_moves ORDER BY learned_at").fetchall()
    return [(*row[:2], *(None if each is None else each - begun for each in row[2:])) for row in told]


def test_alias_of_a_deleted_version_may_have_gone_before_it_was_last_listed(site: Site) -> None:
    """The lower bound of a deleted version's loss is the last lookup of its aliases, not its last listing."""
    site.simulator.clock.advance(60_000)
    site.world.delete_alias("base", "prod")
    gone_ms = site.simulator.clock.now_ms()
    site.simulator.clock.advance(60_000)
    detailed(site)
    site.simulator.clock.advance(60_000)
    site.world.delete_version("base", 1)
    detailed(site)
    from_version, to_version, after_ms, by_ms = last_move(site)
    assert (from_version, to_version) == (1, None)
    assert after_ms == NOON_MS
    assert after_ms <= gone_ms <= by_ms


def test_alias_of_a_recreated_version_may_have_gone_before_it_was_created_again(site: Site) -> None:
    """A number that is used again lost the alias of its earlier version after that was read, by the new creation."""
    site.simulator.clock.advance(60_000)
    site.world.delete_alias("base", "prod")
    gone_ms = site.simulator.clock.now_ms()
    site.simulator.clock.advance(60_000)
    site.world.delete_image("base")
    site.world.create_image("base")
    site.world.create_version("base")
    again_ms = site.simulator.clock.now_ms()
    detailed(site)
    assert last_move(site) == (1, None, NOON_MS, again_ms)
    assert NOON_MS <= gone_ms <= again_ms


def test_alias_that_moves_in_the_second_of_its_lookup(site: Site) -> None:
    """The Date of a lookup lacks the milliseconds, so an alias may move after it and be found by this lookup."""
    site.simulator.clock.advance(DAY_MS + 400)
    site.world.move_alias("base", "prod", 2)
    moved_ms = site.simulator.clock.now_ms()
    site.simulator.clock.advance(300)
    site.sync(details=True, details_every=ALWAYS)
    from_version, to_version, after_ms, by_ms = last_move(site)
    assert (from_version, to_version) == (1, 2)
    assert after_ms <= moved_ms <= by_ms
    ((since_ms,),) = site.ask(
        "SELECT DISTINCT epoch_ms(etl_valid_from) FROM image_version_history "
        "WHERE etl_changed_columns = ['aliases']"
    )
    assert int(str(since_ms)) >= moved_ms


def test_alias_that_goes_while_its_lookup_is_answered(site: Site) -> None:
    """An alias may go after AWS has read it and before the answer is dated: the lower bound is a second earlier."""
    site.simulator.clock.advance(DAY_MS + 500)
    gone: list[int] = []

    async def remove(_: object, exchange: Exchange) -> None:
        if exchange.operation == "ListAliases" and not gone:
            site.simulator.clock.advance(200)
            site.world.delete_alias("base", "prod")
            gone.append(site.simulator.clock.now_ms())
            site.simulator.clock.advance(400)
        now_s = site.simulator.clock.now_ms() // 1000
        exchange.headers["Date"] = formatdate(now_s, usegmt=True)

    site.simulator.fault = remove
    site.sync(details=True, details_every=ALWAYS, concurrency=1)
    site.simulator.fault = None
    detailed(site, details_every=ALWAYS)
    from_version, to_version, after_ms, by_ms = last_move(site)
    assert (from_version, to_version) == (1, None)
    assert after_ms <= gone[0] <= by_ms
    ((seen_ms,),) = site.ask("SELECT max(epoch_ms(etl_last_seen_at)) FROM image_version_events")
    assert int(str(seen_ms)) <= gone[0]


def test_state_that_begins_in_the_second_of_a_lookup(site: Site) -> None:
    """A state begins when AWS says, even if the aliases of the state before were found within the same second."""
    site.simulator.clock.advance(DAY_MS + 100)
    site.world.delete_alias("base", "prod")
    site.simulator.clock.advance(100)
    site.sync(details=True, details_every=ALWAYS)
    site.simulator.clock.advance(200)
    site.world.update_version("base", 1)
    changed_ms = site.simulator.clock.now_ms()
    site.simulator.clock.advance(200)
    site.sync(details=True)
    at = "image_versions_as_of(make_timestamptz({} * 1000)) WHERE version = 1"
    told = f"SELECT epoch_ms(last_modified_time) FROM {at}"
    assert site.ask(told.format(changed_ms)) == [(changed_ms,)]
    assert site.ask(told.format(changed_ms - 1)) != [(changed_ms,)]
    site.assert_true()


def test_views_have_the_margin_of_a_listing() -> None:
    """The bounds of moves are as far from a Date as those of a listing."""
    assert f"to_milliseconds({MARGIN_MS}) AS margin" in statement("views/alias_moves")


def test_deletion_notes_when_the_aliases_were_last_read(rows: Rows) -> None:
    """The event of a deletion has the time of the last lookup of the version's aliases."""
    rows.stored("image_versions", {"aliases": ["prod"], "etl_aliases_known_at": 60})
    rows.given("proofs", {"first_version": 1, "last_version": 1, "created_until": 50})
    for table in ("outrun", "listed"):
        rows.given(table)
    for name in ("load/bounds_of", "load/proofs_bounds", "load/deleted"):
        rows.connection.run(name)
    rows.connection.run("load/insert_deletions", STAMP)
    assert [row["etl_aliases_before"] for row in rows.all("image_version_events")] == [60]


@pytest.mark.parametrize(
    ("before", "after"),
    [({"etl_aliases_at": 60}, 59), ({"etl_aliases_at": None, "etl_aliases_before": 40}, 39), ({}, None)],
    ids=["read", "pending", "unknown"],
)
def test_deletion_of_an_earlier_program_has_the_lookup_of_an_earlier_event(
    rows: Rows, before: Row, after: int | None
) -> None:
    """If a deletion's event lacks the time of the last lookup, that of an earlier event is the lower bound."""
    created: Row = {**PROD, "etl_change": "created", "etl_aliases_at": None, **before}
    deleted: Row = {**PROD, "etl_change": "deleted", "etl_last_seen_at": 90, "etl_valid_from": 100}
    assert moves(rows, created, deleted)[1:] == [(1, None, after, 100)]


def test_deletion_that_was_undone_moves_no_alias(rows: Rows) -> None:
    """A version that is listed again, after it was marked deleted, had its alias all the time."""
    created: Row = {**PROD, "etl_change": "created", "etl_aliases_at": 60}
    deleted: Row = {**PROD, "etl_change": "deleted", "etl_valid_from": 100, "etl_aliases_before": 60}
    reappeared: Row = {**PROD, "etl_change": "reappeared", "etl_valid_from": 100, "etl_aliases_before": 60}
    assert moves(rows, created, deleted, reappeared) == [(None, 1, 10, 61)]
    lost: Row = {"aliases": [], "etl_aliases_before": 60, "etl_aliases_at": 200, "etl_observed_at": 2000}
    assert moves(rows, lost)[1:] == [(1, None, 59, 201)]


def test_version_created_again_gains_its_alias_after_its_creation(rows: Rows) -> None:
    """A recreated version gained its own alias after its creation, whenever the earlier aliases were read."""
    created: Row = {"aliases": ["prod"], "etl_change": "created", "etl_aliases_at": 60}
    again: Row = {
        "aliases": ["test"],
        "etl_change": "recreated",
        "creation_time": 100,
        "etl_aliases_before": 60,
    }
    found = moves(
        rows, created, {**again, "etl_aliases_at": 120, "etl_changed_columns": ["last_modified_time"]}
    )
    assert sorted(found[1:], key=str) == [(1, None, 59, 100), (None, 1, 100, 121)]


def test_alias_of_a_new_life_that_was_read_before_the_listing_showed_it(served: ServeWorld) -> None:
    """An image may be created again between its listing and ListAliases: the alias is lost after that lookup."""
    site = one_image(served, 1)
    detailed(site)
    site.simulator.clock.advance(DAY_MS)

    def recreate() -> None:
        site.simulator.clock.advance(1_000)
        site.world.delete_image("base")
        site.world.create_image("base")
        site.world.create_version("base", aliases=["new"])
        site.simulator.clock.advance(5_000)

    with meanwhile(site, "DescribeImageVersion", recreate):
        detailed(site, details_every=ALWAYS, concurrency=1)
    site.simulator.clock.advance(30_000)
    site.world.delete_alias("base", "new")
    gone_ms = site.simulator.clock.now_ms()
    site.simulator.clock.advance(30_000)
    detailed(site)
    moves = site.ask(
        "SELECT alias, to_version, epoch_ms(moved_after), epoch_ms(moved_by) FROM alias_moves WHERE alias = 'new'"
    )
    (loss,) = [move for move in moves if move[1] is None]
    assert int(str(loss[2])) <= gone_ms <= int(str(loss[3]))
