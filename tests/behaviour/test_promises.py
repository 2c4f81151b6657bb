"""What the documents promise about loads and history, tested from outside."""

from __future__ import annotations

import random

import duckdb
import msgspec
import pytest
from aiohttp import web

from image_history.config import Account
from image_history.errors import LoadError
from image_history.landing.runs import Landing
from image_history.simulator import Exchange, VirtualClock, generate
from image_history.warehouse.warehouse import WarehouseFile
from tests.behaviour.harness import Row, ServeWorld, Site

pytestmark = pytest.mark.duckdb

NOON_MS = 1_790_000_000_000
MINUTE_MS = 60_000


@pytest.fixture
def site(served: ServeWorld) -> Site:
    """Four images with twenty versions each, at a fixed time."""
    return four_images(served)


@pytest.fixture
def synced(served: ServeWorld) -> Site:
    """The same site, after one sync."""

    def make() -> Site:
        made = four_images(served)
        made.sync()
        return made

    return served.once("promises", make)


def four_images(served: ServeWorld) -> Site:
    """Make the site of the fixture `site`."""
    clock = VirtualClock(frozen_at=NOON_MS)
    return served(generate(23, images=4, versions_per_image=20, clock=clock))


def image_names(site: Site) -> list[str]:
    """The names of all images, sorted."""
    return sorted({row.image_name for row in site.world.truth()})


def everything(site: Site) -> dict[str, list[Row]]:
    """Every row of every table."""
    tables = [str(name) for (name,) in site.ask("SELECT table_name FROM duckdb_tables() ORDER BY 1")]
    return {name: site.ask(f"FROM {name} ORDER BY ALL") for name in tables}


def change(site: Site, rng: random.Random) -> None:
    """A minute later, touch one version, create one, and delete one."""
    site.simulator.clock.advance(MINUTE_MS)
    touched, built, deleted = rng.sample(image_names(site), 3)
    site.world.update_version(touched, rng.choice(numbers(site, touched)))
    site.world.create_version(built)
    site.world.delete_version(deleted, rng.choice(numbers(site, deleted)))


def numbers(site: Site, name: str) -> list[int]:
    """The versions that an image has now."""
    return [row.version for row in site.world.truth() if row.image_name == name]


def test_load_that_fails_its_checks_writes_nothing(synced: Site) -> None:
    """If the checks at the end of a load fail, the load is rolled back, and the next sync loads its rows."""
    name = image_names(synced)[0]
    double = f"image_versions WHERE image_name = '{name}' AND version = 3"
    with duckdb.connect(synced.config.warehouse) as connection:
        connection.execute(f"INSERT INTO image_versions FROM {double}").fetchall()
    before = everything(synced)
    synced.simulator.clock.advance(MINUTE_MS)
    synced.world.create_version(name)
    with pytest.raises(LoadError, match="unique_versions"):
        synced.sync()
    assert everything(synced) == before
    assert len(Landing(synced.config.landing_folder).runs()) == 1
    with duckdb.connect(synced.config.warehouse) as connection:
        connection.execute(
            f"DELETE FROM image_versions WHERE rowid = (SELECT max(rowid) FROM {double})"
        ).fetchall()
    report = synced.sync()
    assert report.pending_runs == 1
    synced.assert_true()
    assert synced.ask("SELECT inserted FROM runs ORDER BY started_at") == [(80,), (1,), (0,)]


def test_known_at_never_changes_its_answer(site: Site, rng: random.Random) -> None:
    """An answer about what was known at an instant stays the same after every later sync, deletions included."""
    answers: dict[str, list[Row]] = {}
    for _ in range(4):
        site.sync()
        ((instant,),) = site.ask("SELECT CAST(max(finished_at) AS VARCHAR) FROM runs")
        answers[str(instant)] = known_at(site, str(instant))
        assert len(answers[str(instant)]) == len(site.world.truth())
        change(site, rng)
    site.sync()
    assert {instant: known_at(site, instant) for instant in answers} == answers


def known_at(site: Site, instant: str) -> list[Row]:
    """The versions that the warehouse knew at this instant."""
    return site.ask(f"FROM image_versions_known_at('{instant}') ORDER BY ALL")


def test_events_are_only_ever_added(site: Site, rng: random.Random) -> None:
    """No sync changes or deletes an event that an earlier sync wrote."""
    events: list[Row] = []
    for _ in range(4):
        site.sync()
        written = site.ask("FROM image_version_events ORDER BY etl_observed_at, image_name, version")
        assert written[: len(events)] == events
        events = written
        change(site, rng)


def test_changes_between_two_syncs_are_one_event(synced: Site) -> None:
    """Of several changes between two syncs, only the last state is recorded, as one event."""
    name = image_names(synced)[0]
    for _ in range(3):
        synced.simulator.clock.advance(MINUTE_MS)
        synced.world.update_version(name, 7)
    assert synced.sync().rows.updated == 1
    assert synced.ask(
        f"SELECT epoch_ms(etl_valid_from) FROM image_version_events WHERE image_name = '{name}' AND version = 7 "
        "AND etl_change = 'modified'"
    ) == [(synced.simulator.clock.now_ms(),)]
    synced.assert_true()


def test_state_is_true_at_aws_from_its_change_until_the_next(site: Site) -> None:
    """image_versions_as_of returns the state at an instant: before a change, after it, and after a deletion."""
    name = image_names(site)[0]
    site.sync()
    site.simulator.clock.advance(MINUTE_MS)
    site.world.set_status(name, 5, "CREATE_FAILED", failure_reason="gone wrong")
    site.sync()
    site.simulator.clock.advance(MINUTE_MS)
    site.world.delete_version(name, 5)
    site.sync()
    seen = [status_as_of(site, name, NOON_MS + offset) for offset in (-1, MINUTE_MS, 3 * MINUTE_MS)]
    assert seen[1:] == ["CREATE_FAILED", None]
    assert seen[0] not in {"CREATE_FAILED", None}


def status_as_of(site: Site, name: str, instant_ms: int) -> object:
    """The status of version 5 at an instant, UTC epoch milliseconds; None if it was not there."""
    rows = site.ask(
        f"SELECT image_version_status FROM image_versions_as_of(make_timestamptz({instant_ms * 1000})) "
        f"WHERE image_name = '{name}' AND version = 5"
    )
    return rows[0][0] if rows else None


def test_several_regions_are_one_run(served: ServeWorld) -> None:
    """Two regions of one account are one run and one table, with a row of coverage for each list of images."""
    regions = ("us-east-1", "eu-west-1")
    site = served(generate(23, regions=regions, images=3, versions_per_image=5))
    report = site.sync(accounts=(Account(regions=regions),))
    assert sorted(scope.scope.region for scope in report.scopes) == sorted(regions)
    site.assert_true()
    assert site.ask("SELECT region FROM coverage WHERE listing = 'images' ORDER BY region") == [
        ("eu-west-1",),
        ("us-east-1",),
    ]


def test_warehouse_is_written_for_both_lines_of_duckdb(site: Site) -> None:
    """Whichever version of DuckDB writes the file, it has the storage version that 1.5 opens."""
    with WarehouseFile(site.config.warehouse).writing():
        pass
    ((tags,),) = site.ask("SELECT tags FROM duckdb_databases() WHERE database_name = current_database()")
    assert isinstance(tags, list)
    tags = dict(tags)
    assert str(tags["storage_version"]).startswith("v1.5.0")


async def send_new_member(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
    """A fault: every listed version has an unknown member."""
    if exchange.operation != "ListImageVersions":
        return None
    body = msgspec.json.decode(exchange.body)
    body["ImageVersions"] = [{**row, "Colour": "green"} for row in body["ImageVersions"]]
    return web.Response(status=200, headers=exchange.headers, body=msgspec.json.encode(body))


def test_strict_sync_exits_with_1_for_what_is_new_at_aws(site: Site) -> None:
    """An unknown member from AWS is stored with the rows, and makes --strict exit with 1 once."""
    site.simulator.fault = send_new_member
    assert site.run("sync", "--strict").returncode == 1
    site.assert_true()
    assert site.ask("SELECT DISTINCT etl_raw FROM image_versions") == [('{"Colour":"green"}',)]
    assert site.ask("SELECT operation, member, occurrences FROM schema_drift") == [
        ("ListImageVersions", "ImageVersions[].Colour", 80)
    ]
    assert site.run("sync", "--strict").returncode == 0


def test_status_exits_with_8_when_a_scope_is_staler(served: ServeWorld) -> None:
    """`status` exits with 8 if a scope's last T0 is older than --max-age, and with 0 within the limit."""
    site = served(generate(23, images=2, versions_per_image=5))
    site.run("sync")
    assert site.run("status", "--max-age", "500ms").returncode == 8
    assert site.run("status", "--max-age", "1h").returncode == 0


def test_command_exits_with_141_when_nobody_reads_on(site: Site) -> None:
    """If the reader of stdout closes it, as head does, a command exits with 141 and prints no error."""
    site.run("sync")
    process = site.command("query", "FROM image_versions", "--format", "csv")
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    assert process.wait(60) == 141
    assert process.stderr.read() == ""
    process.stderr.close()
