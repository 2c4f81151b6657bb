"""Lake tables after real syncs: the events of each run are appended, and no file of events is rewritten."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from image_history.config import Account
from image_history.simulator import World
from tests.behaviour.harness import ServeWorld, Site
from tests.behaviour.lakes import KINDS, READERS, Shelf, alike
from tests.behaviour.publishing import plain
from tests.looking import looking

pytestmark = pytest.mark.duckdb

ACCOUNT = "111122223333"
REGIONS = ["us-east-1", "eu-west-1"]
EVENTS = "image_version_events"
TABLES = ("image_versions", EVENTS, "images")


def publishing_site(served: ServeWorld, shelf: Shelf) -> Site:
    """Two regions with a few images; each sync publishes."""
    world = World(accounts=[ACCOUNT], regions=REGIONS)
    for region in REGIONS:
        for name in ("kept", "changing"):
            world.create_image(name, scope=(ACCOUNT, region))
            for _ in range(3):
                world.create_version(name, scope=(ACCOUNT, region))
    site = served(world)
    accounts = (Account(regions=tuple(REGIONS)),)
    site.config = msgspec.structs.replace(site.config, accounts=accounts, publish=(shelf.entry(*TABLES),))
    return site


def change(site: Site, number: int) -> None:
    """Make a new version, a deletion and a new state in one region."""
    scope = (ACCOUNT, "us-east-1")
    site.world.create_version("changing", scope=scope)
    site.world.delete_version("changing", number, scope=scope)
    site.world.set_status("changing", number + 2, "CREATE_FAILED", scope=scope)


def files_of(shelf: Shelf, table: str) -> set[str]:
    """The names of the files that hold a table's rows now."""
    if shelf.kind == "iceberg":
        return set(shelf.iceberg(table).inspect.files()["file_path"].to_pylist())
    return set(shelf.delta(table).file_uris())


@pytest.mark.parametrize("kind", KINDS)
def test_events_of_real_syncs_are_only_appended(kind: str, served: ServeWorld, tmp_path: Path) -> None:
    """Each sync with changes adds one file of events, each sync without changes none, and no file is rewritten."""
    shelf = Shelf(kind, tmp_path)
    site = publishing_site(served, shelf)
    first = site.sync()
    assert [done.error for done in first.publications] == [None, None, None]
    before = files_of(shelf, EVENTS)
    assert len(before) == 2
    for number in range(1, 7):
        change(site, number)
        report = site.sync()
        [events] = [done for done in report.publications if done.table == EVENTS]
        after = files_of(shelf, EVENTS)
        assert (events.written, events.partitions) == (1, 1), number
        assert before < after
        assert len(after - before) == 1
        before = after
        quiet = site.sync()
        assert sum(done.written for done in quiet.publications) == 0
    with looking(site.config.warehouse) as connection:
        for table in TABLES:
            stored = plain(connection.sql(f"FROM {table}").to_arrow_table())
            assert all(alike(read(shelf, table), stored) for read in READERS.values()), table
