"""Two warehouses attached to one DuckDB, as docs/asking.md shows: whose rows a query reads, and in which zone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from image_history import Warehouse
from tests.behaviour.asking import NOON_MS, Desk, ask, built

__all__ = ["ask", "built"]

pytestmark = pytest.mark.duckdb

DOCUMENT = Path(__file__).parents[2] / "docs" / "asking.md"
SHOWN = "TIMESTAMPTZ '2026-07-01T12:00:00Z'"
Rows = list[tuple[Any, ...]]


def documented() -> list[str]:
    """The statements of the section, without their comments."""
    section = DOCUMENT.read_text(encoding="utf-8").split("## Two warehouses at once")[1].split("\n## ")[0]
    (sql,) = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    return [one.strip() for one in re.sub(r"--.*", "", sql).split(";") if one.strip()]


@pytest.fixture
def pair(ask: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection with a warehouse and a smaller one, attached by the page's own statements."""
    monkeypatch.chdir(tmp_path)
    for name in ("prod", "dev"):
        shutil.copy(ask.warehouse, f"{name}.duckdb")
    with duckdb.connect("dev.duckdb") as smaller:
        for table in ("image_versions", "image_version_events"):
            smaller.execute(f"DELETE FROM {table} WHERE version > 3").fetchall()
    with duckdb.connect() as connection:
        for statement in documented()[:2]:
            connection.execute(statement).fetchall()
        connection.execute("SET timezone = 'UTC'").fetchall()
        yield connection


def keys(connection: duckdb.DuckDBPyConnection, source: str) -> Rows:
    """The versions that a statement returns, with their status."""
    sql = f"SELECT image_name, version, image_version_status FROM ({source}) ORDER BY ALL"
    return connection.execute(sql).fetchall()


def asked(rows: Any) -> Rows:
    """The same columns of the rows that the library returns."""
    return sorted((row["image_name"], row["version"], row["image_version_status"]) for row in rows)


def test_views_of_an_attached_warehouse_are_its_own(pair: duckdb.DuckDBPyConnection) -> None:
    """The page's statement finds the versions that dev lacks, and each view reads the tables of its own database."""
    lacking = set(pair.execute(documented()[2]).fetchall())
    of_prod = {(row["image_name"], row["version"]) for row in Warehouse("prod.duckdb").current()}
    assert lacking == {(name, version) for name, version in of_prod if version > 3}
    views = pair.execute(
        "SELECT view_name FROM duckdb_views() WHERE database_name = 'dev' AND NOT internal"
    ).fetchall()
    assert len(views) > 5
    pair.execute("USE prod").fetchall()
    alone = Warehouse("dev.duckdb")
    for (view,) in views:
        counted = pair.execute(f"SELECT count(*) FROM dev.{view}").fetchall()
        assert counted == [(len(alone.query(f"FROM {view}")),)], view


def test_questions_of_the_page_are_those_of_the_macros(pair: duckdb.DuckDBPyConnection) -> None:
    """The page's queries, as of an instant and known at an instant, read dev, whichever database is in use."""
    dev = Warehouse("dev.duckdb")
    as_of, known_at = documented()[3:]
    now = datetime.now(UTC)
    # `between` lies between two states of a version; the other instants are long before and long after these states.
    between = datetime.fromtimestamp(NOON_MS // 1000, UTC) + timedelta(minutes=90)
    for database in ("memory", "prod", "dev"):
        pair.execute(f"USE {database}").fetchall()
        for instant in (datetime(2026, 7, 1, 12, tzinfo=UTC), between, now):
            then = f"TIMESTAMPTZ '{instant.isoformat()}'"
            assert keys(pair, as_of.replace(SHOWN, then)) == asked(dev.as_of(instant)) != []
            assert keys(pair, known_at.replace(SHOWN, then)) == asked(dev.known_at(instant))
        assert len(dev.known_at(now)) > 0


def test_macros_read_the_database_that_is_in_use(pair: duckdb.DuckDBPyConnection) -> None:
    """A macro of dev reads the database in use: it fails without one, and returns prod's rows after USE prod."""
    called = f"FROM dev.image_versions_as_of({SHOWN})"
    at = datetime(2026, 7, 1, 12, tzinfo=UTC)
    with pytest.raises(duckdb.CatalogException, match="image_version_history"):
        keys(pair, called)
    pair.execute("USE prod").fetchall()
    assert keys(pair, called) == asked(Warehouse("prod.duckdb").as_of(at))
    pair.execute("USE dev").fetchall()
    assert keys(pair, called) == asked(Warehouse("dev.duckdb").as_of(at))


def test_instant_without_a_zone_is_one_of_the_session(pair: duckdb.DuckDBPyConnection) -> None:
    """DuckDB reads an instant without a zone in the session's zone; with a Z, and in image-history, it is UTC."""
    pair.execute("USE dev").fetchall()
    (newest,) = (
        Warehouse("dev.duckdb").query("SELECT max(creation_time) AS at FROM image_version_history").rows()
    )
    created = newest["at"]
    naive, zoned = f"{created:%Y-%m-%d %H:%M:%S}.999", f"{created:%Y-%m-%dT%H:%M:%S}.999Z"
    in_utc = keys(pair, f"FROM image_versions_as_of('{zoned}')")
    assert keys(pair, f"FROM image_versions_as_of('{naive}')") == in_utc
    pair.execute("SET timezone = 'Asia/Tokyo'").fetchall()
    assert keys(pair, f"FROM image_versions_as_of('{zoned}')") == in_utc
    assert keys(pair, f"FROM image_versions_as_of('{naive}')") != in_utc
    assert len(Warehouse("dev.duckdb").query(f"FROM image_versions_as_of('{naive}')")) == len(in_utc)
