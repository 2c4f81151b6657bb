"""What the tests of lake tables share: a lake of each format in a folder, and readers from other projects.

Must not know what a test changes, nor the connector's way of writing a table.
"""

from __future__ import annotations

import functools
import operator
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
from deltalake import DeltaTable
from pyiceberg.catalog import load_catalog

from image_history.config import Publish
from image_history.durable.effects import Effect, File, install
from image_history.model import Publication, Stop
from image_history.publish.lake import owner_key
from image_history.publish.lakes import publish_lake
from tests.behaviour.publishing import Stock, plain

if TYPE_CHECKING:
    import pyarrow as pa
    from pyiceberg.table import Table as IcebergTable

# Polars has a faster planner in a separate package; the tests do not need it.
os.environ.setdefault("POLARS_ICEBERG_PLANNER", "pyiceberg")
KINDS = ("iceberg", "delta")
EVENTS = """
INSERT INTO image_version_events BY NAME
SELECT account_id, region, image_name, version, image_arn, image_version_arn, image_version_status, failure_reason,
       creation_time, last_modified_time, etl_valid_from, etl_valid_from AS etl_certain_from,
       (SELECT max(finished_at) FROM runs) AS etl_observed_at,
       'modified' AS etl_change, ['failure_reason'] AS etl_changed_columns, $run_id AS etl_run_id
FROM image_versions
WHERE region IN (SELECT unnest($regions)) AND version <= $versions
"""


@dataclass(frozen=True, slots=True)
class Shelf:
    """A lake of one format in a folder. `properties`, if given, replace the default catalog in a SQLite file."""

    kind: str
    folder: Path
    properties: tuple[tuple[str, str], ...] = ()
    address: str = ""

    @property
    def to(self) -> str:
        if self.address:
            return self.address
        return "iceberg://local/inventory" if self.kind == "iceberg" else f"delta+file:{self.folder}/lake"

    @property
    def catalog(self) -> dict[str, str]:
        """The `properties` of the entry of `publish`."""
        if self.properties or self.kind == "delta":
            return dict(self.properties)
        return {
            "type": "sql",
            "uri": f"sqlite:///{self.folder}/catalog.db",
            "warehouse": f"file://{self.folder}/lake",
        }

    def entry(self, *tables: str, **given: Any) -> Publish:
        """An entry of `publish`."""
        return Publish(
            to=self.to, tables=tables or ("image_versions",), properties=self.catalog or None, **given
        )

    def publish(
        self, stock: Stock, *tables: str, replace: bool = False, stop: Stop | None = None, **given: Any
    ) -> tuple[Publication, ...]:
        """Publish tables, image_versions by default."""
        return publish_lake(stock.config, self.entry(*tables, **given), replace=replace, stop=stop)

    def one(self, stock: Stock, table: str = "image_versions", **given: Any) -> Publication:
        """Publish one table, which must succeed."""
        [done] = self.publish(stock, table, **given)
        assert done.error is None, done.error
        return done

    def iceberg(self, table: str = "image_versions") -> IcebergTable:
        """The table, loaded by pyiceberg."""
        name, _, namespace = self.to.removeprefix("iceberg://").partition("/")
        return load_catalog(name, **self.catalog).load_table(f"{namespace}.{table}")

    def delta(self, table: str = "image_versions") -> DeltaTable:
        """The table, loaded by deltalake."""
        storage = dict(self.properties) or None
        root = self.to.removeprefix("delta+").replace("file:/", "file:///", 1)
        return DeltaTable(f"{root}/{table}", storage_options=storage)

    def commits(self, table: str = "image_versions") -> int:
        """How many commits are in the history of a table."""
        if self.kind == "iceberg":
            return len(self.iceberg(table).metadata.snapshots)
        return len(self.delta(table).history())

    def bytes_there(self) -> dict[str, int]:
        """Every file of the lake with its size."""
        root = self.folder / "lake"
        return {
            str(path.relative_to(root)): path.stat().st_size for path in root.rglob("*") if path.is_file()
        }

    def data_files(self) -> set[str]:
        """The names of all data files in the lake, whether a commit refers to them or not."""
        return {
            Path(name).name
            for name in self.bytes_there()
            if name.endswith(".parquet") and "_delta_log" not in name
        }


def by_library(shelf: Shelf, table: str) -> pa.Table:
    """Read a table with the format's own library."""
    if shelf.kind == "iceberg":
        return shelf.iceberg(table).scan().to_arrow()
    return shelf.delta(table).to_pyarrow_table()


def by_duckdb(shelf: Shelf, table: str) -> pa.Table:
    """Read a table with DuckDB over Arrow, which needs no extension."""
    if shelf.kind == "iceberg":
        rows = shelf.iceberg(table).scan().to_arrow_batch_reader()
    else:
        rows = shelf.delta(table).to_pyarrow_dataset()
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        connection.register("lake", rows)
        return connection.sql("FROM lake").to_arrow_table()


def by_polars(shelf: Shelf, table: str) -> pa.Table:
    """Read a table with Polars."""
    if shelf.kind == "iceberg":
        return pl.scan_iceberg(shelf.iceberg(table)).collect().to_arrow()
    return pl.scan_delta(shelf.delta(table)).collect().to_arrow()


READERS = {"library": by_library, "duckdb": by_duckdb, "polars": by_polars}


def alike(read: pa.Table, stored: pa.Table) -> bool:
    """Whether a reader's rows, cast to the warehouse's types, are those of the warehouse."""
    return digest(read.select(stored.column_names).cast(stored.schema)) == digest(stored)


def assert_same(shelf: Shelf, stock: Stock, *tables: str) -> None:
    """All three readers find the warehouse's rows."""
    for table in tables or ("image_versions",):
        for reader, read in READERS.items():
            assert alike(read(shelf, table), stock.stored(table)), (table, reader)


def digest(table: pa.Table) -> tuple[int, int]:
    """The number of rows, and one hash over the hashes of all rows."""
    ready = plain(table)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        connection.register("ready", ready)
        found = connection.sql("SELECT hash(COLUMNS(*)) FROM ready").fetchall() if ready.num_rows else []
    return ready.num_rows, functools.reduce(operator.xor, (hash(row) for row in found), 0)


def learn(stock: Stock, *regions: str, versions: int = 1_000_000) -> str:
    """Add a run that changes these regions, with an event for each version up to `versions`; returns its id."""
    run_id = stock.change(*regions)
    stock.run_sql(EVENTS, run_id=run_id, regions=list(regions), versions=versions)
    return run_id


def aged(shelf: Shelf, by: timedelta) -> None:
    """Make every file of the lake look older."""
    for path in (shelf.folder / "lake").rglob("*"):
        if path.is_file():
            old = path.stat().st_mtime - by.total_seconds()
            os.utime(path, (old, old))


def at_commit(
    overtake: Callable[[], object], publish: Callable[[], Publication], effect: Effect = Effect.COMMIT
) -> Publication:
    """Publish, and call `overtake` just before each commit of a table, or before another effect on a table."""

    def hook(reached: Effect, subject: str) -> None:
        if (reached, subject) == (effect, File.TABLE) and not busy:
            busy.append(True)
            overtake()
            busy.clear()

    busy: list[bool] = []
    remove = install(hook)
    try:
        return publish()
    finally:
        remove()


def owner_of(shelf: Shelf, table: str = "image_versions", label: str | None = None) -> str | None:
    """The owner that a table names."""
    if shelf.kind == "iceberg":
        return shelf.iceberg(table).metadata.properties.get(owner_key(label))
    return shelf.delta(table).metadata().configuration.get(owner_key(label))


def name_owner(shelf: Shelf, owner: str, table: str = "image_versions") -> None:
    """Set the owner that a table names."""
    if shelf.kind == "iceberg":
        with shelf.iceberg(table).transaction() as transaction:
            transaction.set_properties({owner_key(None): owner})
    else:
        shelf.delta(table).alter.set_table_properties({owner_key(None): owner}, raise_if_not_exists=False)
