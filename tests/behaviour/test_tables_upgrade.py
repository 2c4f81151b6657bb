"""Lake tables of an earlier version are recognised, brought up to date, and read the same by all readers."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.behaviour.earlier_tables import LATER, leave
from tests.behaviour.lakes import KINDS, Shelf, alike, assert_same, by_library, learn, owner_of
from tests.behaviour.publishing import Stock

pytestmark = pytest.mark.duckdb

TABLES = ("image_versions", "image_version_events")
DETAILS = """
UPDATE image_versions SET aliases = ['latest', 'größte'], horovod = version = 1, etl_aliases_at = creation_time
"""


@pytest.fixture
def stock(tmp_path: Path) -> Stock:
    """A warehouse of three regions with two runs, and events of the second."""
    stock = Stock(tmp_path).fill()
    learn(stock, "us-east-1", "us-west-2")
    return stock


@pytest.fixture(params=KINDS)
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Shelf:
    """An empty lake."""
    return Shelf(request.param, tmp_path)


@pytest.fixture
def before(shelf: Shelf, stock: Stock) -> dict[str, pa.Table]:
    """What readers find in tables that an earlier version wrote after the newest run."""
    found = stock.stored("runs").filter(pa.compute.field("etl_run_id") == "run-2")
    as_of_ms = found["finished_at"].cast(pa.int64())[0].as_py()
    return {
        name: leave(shelf, name, stock.stored(name), run_id="run-2", owner="run-1", as_of_ms=as_of_ms)
        for name in TABLES
    }


@pytest.mark.usefixtures("before")
def test_table_of_an_earlier_version_is_brought_up_to_date(shelf: Shelf, stock: Stock) -> None:
    """Columns of later versions and a new column are added; every reader finds the warehouse's rows."""
    stock.run_sql(DETAILS)
    stock.run_sql("ALTER TABLE image_versions ADD COLUMN note VARCHAR DEFAULT 'noted'")
    learn(stock, "us-east-1", versions=1)
    assert [done.error for done in shelf.publish(stock, *TABLES)] == [None, None]
    assert_same(shelf, stock, *TABLES)
    columns = set(by_library(shelf, "image_versions").column_names)
    assert {"note"} | (LATER & set(stock.stored().column_names)) <= columns
    assert {owner_of(shelf, name) for name in TABLES} == {stock.identity}


@pytest.mark.usefixtures("before")
def test_upgrade_alone_is_published(shelf: Shelf, stock: Stock) -> None:
    """If no sync has happened since the upgrade, the rows are written in today's columns all the same, once."""
    assert [done.partitions for done in shelf.publish(stock, *TABLES)] == [3, 2]
    assert_same(shelf, stock, *TABLES)
    assert [done.written for done in shelf.publish(stock, *TABLES)] == [0, 0]


@pytest.mark.usefixtures("before")
def test_upgraded_table_is_kept_in_step_as_any_other(shelf: Shelf, stock: Stock) -> None:
    """After the upgrade only changed regions are written, and events are appended."""
    shelf.publish(stock, *TABLES)
    files = shelf.data_files()
    learn(stock, "us-east-1", versions=1)
    versions, events = shelf.publish(stock, *TABLES)
    assert (versions.partitions, versions.written) == (1, 1)
    assert (events.partitions, events.written) == (1, 1)
    assert len(shelf.data_files() - files) == 2
    assert_same(shelf, stock, *TABLES)


def test_state_before_the_upgrade_can_still_be_read(
    shelf: Shelf, stock: Stock, before: dict[str, pa.Table]
) -> None:
    """The state before the upgrade is read by its snapshot or version, in the columns that it had."""
    if shelf.kind == "iceberg":
        snapshot = shelf.iceberg().metadata.snapshots[0].snapshot_id
        version = 0
    else:
        snapshot, version = 0, shelf.delta().version()
    stock.run_sql(DETAILS)
    learn(stock, *stock.regions, versions=1)
    shelf.publish(stock, *TABLES)
    if shelf.kind == "iceberg":
        read = shelf.iceberg().scan(snapshot_id=snapshot).to_arrow()
    else:
        table = shelf.delta()
        table.load_as_version(version)
        read = table.to_pyarrow_table()
    assert alike(read, before["image_versions"])


@pytest.mark.usefixtures("before")
def test_table_of_an_earlier_version_of_another_warehouse_is_refused(
    shelf: Shelf, stock: Stock, tmp_path: Path
) -> None:
    """An earlier version's table whose first run is not this warehouse's is refused, and nothing is committed."""
    (tmp_path / "other").mkdir()
    other = Stock(tmp_path / "other", rows_of_a_region=5, name="else").fill()
    commits = shelf.commits()
    [refused] = shelf.publish(other)
    assert refused.error is not None
    assert "another warehouse" in refused.error
    assert shelf.commits() == commits
    assert stock.runs == 2
