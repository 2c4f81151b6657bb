"""The warehouse as the source of a dataset: relations, their partitions with fingerprints, and their rows.

Everything read through one `Source` is of one state of the warehouse. Must not know where the rows go, nor files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import pyarrow as pa

from image_history.config.wording import nearest
from image_history.errors import ConfigError, WarehouseError
from image_history.schema import TABLES
from image_history.warehouse.answering import reader
from image_history.warehouse.asking import Limits, spill_folder
from image_history.warehouse.identity import last_loads, warehouse_id
from image_history.warehouse.relations import key_of, outside
from image_history.warehouse.statements import names, statement
from image_history.warehouse.warehouse import Connection, EngineError, WarehouseFile

PARTITION_COLUMN = "region"
# Part of each fingerprint. Raise it when the writer's settings change, so that all files are written again.
_WRITER = 4
# The statements in sql/views that make a view; only views may be published, not macros.
_VIEW = "CREATE OR REPLACE VIEW"
# So short that it does not wait for a sync that holds the file.
LOOK_SECONDS = 0.5
_FAILURES = (EngineError, pa.ArrowException, OSError, MemoryError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Run:
    """A sync that is stored in the warehouse; `finished_ms` is UTC epoch milliseconds."""

    run_id: str
    finished_ms: int


@dataclass(frozen=True, slots=True)
class Relation:
    """A table or view. `columns` is the schema for readers outside the warehouse; rows are sorted by `order`."""

    name: str
    columns: pa.Schema
    order: tuple[str, ...]

    @property
    def partitioned(self) -> bool:
        """Whether it is partitioned by region."""
        return bool(PARTITION_COLUMN in self.columns.names)

    @property
    def stored(self) -> pa.Schema:
        """The columns inside the files of a partition, without the partition column, which is in their path."""
        if not self.partitioned:
            return self.columns
        return self.columns.remove(self.columns.get_field_index(PARTITION_COLUMN))


@dataclass(frozen=True, slots=True)
class Partition:
    """The rows of a relation in one region (`value` None: region is null). Equal content has an equal fingerprint.

    If `cut` is false, the partition has all rows of the relation, with all its columns.
    """

    cut: bool
    value: str | None
    rows: int
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Growth:
    """How many events of one region were learned up to an instant (`before`), and since then (`after`)."""

    region: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class Source:
    """An open warehouse. Rows that cannot be read raise WarehouseError."""

    connection: Connection

    def newest_run(self) -> Run | None:
        """The sync that was loaded last; None before the first."""
        found = self.connection.table("publish/newest_run").to_pylist()
        return Run(found[0]["etl_run_id"], found[0]["finished_ms"]) if found else None

    def warehouse_id(self) -> str | None:
        """The id of the warehouse; None before the first sync."""
        return warehouse_id(self.connection)

    def has_run(self, run_id: str, loaded_ms: int = 0) -> bool:
        """Whether the warehouse contains that sync's load at `loaded_ms` (UTC epoch milliseconds), or a later one.

        If so, it contains everything from that time: a sync may be loaded in parts.
        """
        return last_loads(self.connection, [run_id]).get(run_id, -1) >= loaded_ms

    def relation(self, name: str) -> Relation:
        """A table or view by its name; ConfigError names the nearest if there is none."""
        tables = {table.name for table in TABLES}
        if name not in tables:
            # Only for other names, since this lists every column of the warehouse.
            shown = self.connection.table("session/relations")["table_name"].to_pylist()
            _require_known(name, {*shown, *tables})
        found = self._open(f'FROM "{name}" LIMIT 0', {}).schema
        columns = outside(name, found)
        key = key_of(name) or tuple(columns.names)
        return Relation(name, columns, tuple(column for column in key if column != PARTITION_COLUMN))

    def partitions(self, relation: Relation) -> list[Partition]:
        """The partitions of the relation, by region; one partition without rows if the relation is empty."""
        shape = f"{_WRITER} {relation.order} {relation.columns.to_string(show_field_metadata=True)}"
        kept = [
            Partition(
                row["cut"],
                row["value"],
                row["rows"],
                hashlib.sha256(f"{shape} {row['rows']} {row['content']}".encode()).hexdigest()[:32],
            )
            for row in self._read(_contents(relation))
        ]
        empty = Partition(
            cut=False, value=None, rows=0, fingerprint=hashlib.sha256(shape.encode()).hexdigest()
        )
        return kept or [empty]

    def rows(self, relation: Relation, partition: Partition) -> Stream:
        """The sorted rows of a partition, in the schema of its files. Close them before reading anything else."""
        columns = "* EXCLUDE (region)" if partition.cut else "*"
        where, parameters = _condition(partition)
        order = ", ".join(self._order(relation, where, parameters))
        sql = f'SELECT {columns} FROM "{relation.name}"{where} ORDER BY {order}'  # noqa: S608 - a known name
        schema = relation.stored if partition.cut else relation.columns
        if partition.cut and partition.value is not None:
            # For readers that do not take the region from the folder's name.
            schema = schema.with_metadata({PARTITION_COLUMN: partition.value})
        return Stream(self._open(sql, parameters), schema, relation.name)

    def growth(self, since_ms: int) -> list[Growth]:
        """The number of events of each region up to an instant (UTC epoch milliseconds), and since."""
        found = self.connection.table("tables/event_growth", {"as_of_ms": since_ms}).to_pylist()
        return [Growth(row["region"], row["before"], row["after"]) for row in found]

    def rows_since(self, relation: Relation, partition: Partition, since_ms: int) -> Stream:
        """As `rows`, but only the events that were learned after an instant."""
        parameters = {"region": partition.value or "", "as_of_ms": since_ms}
        return Stream(self._open(statement("tables/new_events"), parameters), relation.stored, relation.name)

    def _order(self, relation: Relation, where: str, parameters: dict[str, str]) -> Sequence[str]:
        """The sort columns, without the first if all its values are equal: DuckDB takes twice as long with it."""
        if len(relation.order) == len(relation.stored):
            return ("ALL",)
        first, *others = relation.order
        sql = f'SELECT min({first}) = max({first}) AS alike FROM "{relation.name}"{where}'  # noqa: S608 - as above
        [found] = self._read(sql, parameters)
        return others if others and found["alike"] else relation.order

    def _read(self, sql: str, parameters: dict[str, str] | None = None) -> list[dict[str, Any]]:
        return [
            row for batch in _guarded(self._open(sql, parameters or {}), sql) for row in batch.to_pylist()
        ]

    def _open(self, sql: str, parameters: Mapping[str, object]) -> pa.RecordBatchReader:
        try:
            return reader(self.connection, sql, parameters)
        except _FAILURES as error:
            raise _unreadable(sql, error) from error


class Stream:
    """Rows of DuckDB, cast to a schema with the same columns; a context manager that closes the reader."""

    def __init__(self, source: pa.RecordBatchReader, schema: pa.Schema, name: str) -> None:
        self.schema = schema
        self._source = source
        self._name = name

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (batch.cast(self.schema) for batch in _guarded(self._source, self._name))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # Otherwise a reader that failed would keep the connection busy as long as its exception is referenced.
        self._source.close()


# A sync publishes in its own process, with no more memory than the load used; half of that is for Parquet.
_FRUGAL = Limits(memory_bytes=64 * 1024**2, threads=1)


@contextmanager
def source(warehouse: WarehouseFile, *, wait_seconds: float | None = None) -> Iterator[Source]:
    """Open the warehouse for reading, bounded in memory; raises as `WarehouseFile.reading` does.

    No other process can write to it inside the block.
    """
    with (
        spill_folder() as spill,
        warehouse.reading(wait_seconds=wait_seconds, settings=_FRUGAL.settings(spill)) as connection,
    ):
        yield Source(connection)


def require_relations(warehouse: WarehouseFile, wanted: Iterable[str]) -> None:
    """ConfigError for a name that is no table or view of the warehouse, or before the first sync, of a new one."""
    if warehouse.file.exists():
        with source(warehouse, wait_seconds=LOOK_SECONDS) as rows:
            for name in wanted:
                rows.relation(name)
        return
    views = (name.partition("/")[2] for name in names("views") if _VIEW in statement(name))
    made = {*(table.name for table in TABLES), *views}
    for name in wanted:
        _require_known(name, made)


def _require_known(name: str, known: Collection[str]) -> None:
    if name not in known:
        raise ConfigError(f"The warehouse has no table or view '{name}'{nearest(name, sorted(known))}")


def _contents(relation: Relation) -> str:
    """The query for each partition's row count and sum of row hashes; neither depends on the rows' order."""
    if not relation.partitioned:
        return (
            "SELECT false AS cut, NULL::VARCHAR AS value, count(*) AS rows, "  # noqa: S608 - a known name
            f'sum(hash(*COLUMNS(*)))::VARCHAR AS content FROM "{relation.name}" HAVING count(*) > 0'
        )
    return (
        "SELECT true AS cut, region AS value, count(*) AS rows, "  # noqa: S608 - as above
        f'sum(hash(*COLUMNS(* EXCLUDE (region))))::VARCHAR AS content FROM "{relation.name}" '
        "GROUP BY region ORDER BY region NULLS FIRST"
    )


def _condition(partition: Partition) -> tuple[str, dict[str, str]]:
    if not partition.cut:
        return "", {}
    if partition.value is None:
        return " WHERE region IS NULL", {}
    return " WHERE region = $region", {"region": partition.value}


def _guarded(batches: pa.RecordBatchReader, what: str) -> Iterator[pa.RecordBatch]:
    """The batches. WarehouseError for an error in the stream, which may be one of pyarrow's with DuckDB's text."""
    while True:
        try:
            batch = next(batches, None)
        except _FAILURES as error:
            raise _unreadable(what, error) from error
        if batch is None:
            return
        yield batch


def _unreadable(what: str, error: Exception) -> WarehouseError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return WarehouseError(
        f"The warehouse cannot be read ({what}): {reason}. Check that its disk has room in TMPDIR and that it "
        "can be read; nothing was published."
    )
