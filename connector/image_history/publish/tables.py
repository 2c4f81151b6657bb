"""Publishes lake tables: writes changed partitions as files, and shows them with one commit a table.

Must not know any format, catalog or store, nor the caller.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import tenacity

from image_history.errors import OutputError
from image_history.formats.rows import of_type
from image_history.model import Stop
from image_history.publish.lake import (
    REGION_COLUMN,
    SOURCE_COLUMN,
    ConflictError,
    DataFile,
    Found,
    Part,
    State,
    Table,
    shape_of,
)
from image_history.publish.ownership import require_no_strangers, rows_of_ours
from image_history.publish.target import refusal
from image_history.schema import IMAGE_VERSION_EVENTS
from image_history.warehouse.partitions import Growth, Partition, Relation, Run, Source

if TYPE_CHECKING:
    from image_history.formats import Rows

logger = logging.getLogger(__name__)

# Raise this number when the rows that are written get other columns or values: all files are then written again. The
# packing may differ from file to file.
_WRITER = 1
_ATTEMPTS = 10
# Writers whose commits conflicted once would conflict again if none of them waited.
_FIRST_WAIT_SECONDS = 0.05
_LONGEST_WAIT_SECONDS = 2.0
# A region with so many files is rewritten as one file: many small files make readers slow.
_MOST_FILES = 64
_APPENDED = frozenset({IMAGE_VERSION_EVENTS.name})


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a publication of one table. `written` and `written_bytes` count the files of this commit."""

    rows: int
    partitions: int
    written: int
    written_bytes: int
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The wanted table: `name` is the relation, `label` the writer's, `keep` how long versions are kept.

    With `keep` None no upkeep is done here. `replace` allows it to replace another warehouse's rows.
    """

    to: str
    name: str
    label: str | None = None
    keep: timedelta | None = None
    replace: bool = False

    @property
    def where(self) -> str:
        """The table's address in messages."""
        return f"{self.to.rstrip('/')}/{self.name}"


def publish_table(table: Table, source: Source, wanted: Wanted, stop: Stop) -> Done:
    """Publish one table with one commit, or with none if nothing changed.

    Raises OutputError after ten conflicts, and InterruptedRunError when `stop` was requested. After any error,
    readers see either the table of before or the whole new one.
    """
    run = source.newest_run()
    if run is None:
        raise OutputError(f"There is nothing to publish to {wanted.where}: run image-history sync first.")
    work = _Work(table, source, wanted, stop)
    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ConflictError),
        stop=tenacity.stop_after_attempt(_ATTEMPTS),
        wait=tenacity.wait_random_exponential(multiplier=_FIRST_WAIT_SECONDS, max=_LONGEST_WAIT_SECONDS),
        sleep=tenacity.sleep_using_event(stop.event),
        after=lambda state: _log_conflict(wanted, state),
        reraise=True,
    )
    try:
        done = attempts(work.attempt, run)
    except ConflictError as error:
        raise OutputError(
            f"Cannot publish to {wanted.where}: other writers committed before each of {_ATTEMPTS} attempts. Its "
            "readers see what was published before; publish again."
        ) from error
    if done.written and wanted.keep is not None:
        table.upkeep(wanted.keep)
    return done


def require_publishable(table: Table, source: Source | None, wanted: Wanted) -> Found:
    """Raise the ConnectorError that `publish_table` would raise before it writes. Returns the table as it is.

    Writes nothing. Without a warehouse, or before its first sync, only the table's owner and place are checked.
    """
    run = None if source is None else source.newest_run()
    if source is not None and run is not None:
        found = _Work(table, source, wanted, Stop()).plan(run).found
    else:
        found = table.state()
        rows_of_ours(found, source, wanted.where, replace=wanted.replace)
        files = table.files() if found.version and found.owner is None else ()
        require_no_strangers(found, files, wanted.where, replace=wanted.replace)
    table.require_place()
    return found


def _log_conflict(wanted: Wanted, state: tenacity.RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome is not None else None
    logger.info("table_conflict", extra={"to": wanted.where, "reason": str(error)})


@dataclass(frozen=True, slots=True)
class _Change:
    """What one commit does. `write` has a flag for each partition: write only its rows since the table's sync."""

    write: tuple[tuple[Partition, bool], ...]
    gone: tuple[DataFile, ...]
    parts: tuple[Part, ...]

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.parts)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one commit does, and the state that it is based on."""

    relation: Relation
    found: Found
    shape: str
    change: _Change


@dataclass(frozen=True, slots=True)
class _Current:
    """A table that already has the warehouse's rows."""

    known: State
    found: Found


@dataclass(slots=True)
class _Work:
    """The work on one table; the next attempt reuses the files of a commit that lost a conflict."""

    table: Table
    source: Source
    wanted: Wanted
    stop: Stop
    written: dict[tuple[Partition, int], DataFile] = field(default_factory=dict)
    partitions: Sequence[Partition] | None = None

    def attempt(self, run: Run) -> Done:
        plan = self.plan(run)
        if isinstance(plan, _Current):
            return self._unchanged(plan)
        return self._committed(plan, run)

    def plan(self, run: Run) -> _Plan | _Current:
        """Decide what is to be done; raises every refusal that is possible before the first write."""
        relation = self.source.relation(self.wanted.name)
        columns = _columns(relation, self.wanted.label)
        shape, found = shape_of(columns, _WRITER), self.table.state()
        ours = rows_of_ours(found, self.source, self.wanted.where, replace=self.wanted.replace)
        known = ours if ours is not None and ours.shape == shape else None
        if known is not None and (known.run_id, known.as_of_ms) == (run.run_id, run.finished_ms):
            return _Current(known, found)
        change = self._change(relation, found, known)
        if known is not None and not change.write and not change.gone:
            return _Current(known, found)
        self.table.require_place()
        self.table.require_columns(columns)
        self._require_removable(relation, found, change)
        return _Plan(relation, found, shape, change)

    def _require_removable(self, relation: Relation, found: Found, change: _Change) -> None:
        if found.append_only and (change.gone or relation.name not in _APPENDED):
            raise refusal(
                self.wanted.where,
                "its property delta.appendOnly lets no row be replaced, which a changed region needs",
                "Set it to false there, or publish to another folder.",
            )

    def _unchanged(self, current: _Current) -> Done:
        """Commit nothing. Files of an earlier attempt are removed, unless its commit succeeded after all."""
        if self.written:
            live = {file.path for file in self.table.files()}
            self.table.discard([file for file in self.written.values() if file.path not in live])
        return Done(sum(part.rows for part in current.known.parts), 0, 0, 0, current.found.version)

    def _change(self, relation: Relation, found: Found, known: State | None) -> _Change:
        files = self.table.files() if found.version else ()
        require_no_strangers(found, files, self.wanted.where, replace=self.wanted.replace)
        if relation.name in _APPENDED and known is not None:
            return self._growth(relation, known, files)
        partitions = self._partitions(relation)
        fresh = [partition for partition in partitions if not _holds(known, partition, files)]
        regions = {partition.value for partition in partitions} - {partition.value for partition in fresh}
        return _Change(
            tuple((partition, False) for partition in fresh),
            tuple(file for file in files if file.region not in regions),
            tuple(Part(each.value, each.rows, each.fingerprint) for each in partitions),
        )

    def _partitions(self, relation: Relation) -> Sequence[Partition]:
        """The partitions of the warehouse, read in one scan: they do not change during a publication."""
        if self.partitions is None:
            if relation.name in _APPENDED:
                # Only counted: append-only rows are not compared by their values, since all would have to be read.
                self.partitions = [_whole(relation, each) for each in self.source.growth(0)]
            else:
                self.partitions = [each for each in self.source.partitions(relation) if each.rows]
        return self.partitions

    def _growth(self, relation: Relation, known: State, files: Sequence[DataFile]) -> _Change:
        """Events are only added: if a region has as many earlier rows as the table, only new rows are written."""
        write: list[tuple[Partition, bool]] = []
        gone = [file for file in files if known.of(file.region) is None]
        parts = []
        for growth in self.source.growth(known.as_of_ms):
            ours = [file for file in files if file.region == growth.region]
            part = known.of(growth.region)
            whole = _whole(relation, growth)
            parts.append(Part(whole.value, whole.rows))
            alike = part is not None and growth.before == part.rows == sum(file.rows for file in ours)
            if not alike or (growth.after and len(ours) >= _MOST_FILES):
                write.append((whole, False))
                gone += ours
            elif growth.after:
                write.append((whole, True))
        left = {part.region for part in known.parts} - {part.region for part in parts}
        gone += [file for file in files if file.region in left]
        return _Change(tuple(write), tuple(gone), tuple(parts))

    def _committed(self, plan: _Plan, run: Run) -> Done:
        relation, change, found = plan.relation, plan.change, plan.found
        ours = self.source.warehouse_id() or run.run_id
        state = State(run.run_id, run.finished_ms, plan.shape, change.parts, ours)
        self.table.ensure(_columns(relation, self.wanted.label), ours)
        since = found.state.as_of_ms if found.state is not None else 0
        files = self._files(relation, change, since)
        if change.gone or found.state is None:
            version = self.table.replace(files, change.gone, state)
        else:
            version = self.table.append(files, state)
        unused = [file for file in self.written.values() if file not in files]
        self.table.discard(unused)
        logger.info("table_published", extra={"to": self.wanted.where, "written": len(files)})
        written_bytes = sum(file.bytes for file in files)
        regions = {file.region for file in (*files, *change.gone)}
        return Done(change.rows, len(regions), len(files), written_bytes, version)

    def _files(self, relation: Relation, change: _Change, since_ms: int) -> list[DataFile]:
        """Write a file for each partition of the change; after a failure, remove those that were written."""
        files = []
        try:
            for partition, appended in change.write:
                self.stop.check()
                key = (partition, since_ms if appended else -1)
                if key not in self.written:
                    self.written[key] = self._written(relation, *key)
                files.append(self.written[key])
        except BaseException:
            self.table.discard(tuple(self.written.values()))
            raise
        return files

    def _written(self, relation: Relation, partition: Partition, since_ms: int) -> DataFile:
        """Write a file of a partition: its events since an instant (UTC epoch milliseconds), or all its rows (-1)."""
        constants = {REGION_COLUMN: partition.value, SOURCE_COLUMN: self.wanted.label}
        # Read in the table's units: by way of milliseconds, each instant would be divided and then multiplied again.
        exact = replace(relation, columns=pa.schema(map(_column, relation.columns)))
        with (
            self.source.rows(exact, partition)
            if since_ms < 0
            else self.source.rows_since(exact, partition, since_ms)
        ) as rows:
            filled = _Filled(rows, _columns(relation, self.wanted.label), constants)
            return self.table.write(partition.value, filled)


def _whole(relation: Relation, growth: Growth) -> Partition:
    """All events of a region."""
    return Partition(
        cut=relation.partitioned, value=growth.region, rows=growth.before + growth.after, fingerprint=""
    )


def _holds(known: State | None, partition: Partition, files: Iterable[DataFile]) -> bool:
    """Whether the table has exactly these rows, by its commit and by the number of rows in its files."""
    part = known.of(partition.value) if known is not None else None
    rows = sum(file.rows for file in files if file.region == partition.value)
    return (
        part is not None
        and (part.rows, part.fingerprint) == (partition.rows, partition.fingerprint)
        and rows == partition.rows
    )


def _columns(relation: Relation, label: str | None) -> pa.Schema:
    """The columns of a table: instants in microseconds, which every engine reads, and the writer's label first."""
    columns = [
        _column(column) for column in relation.columns if column.name != SOURCE_COLUMN or label is None
    ]
    if label is not None:
        meaning = {"comment": "Label of the warehouse that published the row"}
        columns.insert(0, pa.field(SOURCE_COLUMN, pa.string(), nullable=False, metadata=meaning))
    return pa.schema(columns)


def _column(column: pa.Field) -> pa.Field:
    if pa.types.is_timestamp(column.type):
        return column.with_type(pa.timestamp("us", tz=column.type.tz))
    return column


class _Filled:
    """Rows of a partition in the table's schema, with the columns added whose value is the same in all rows."""

    def __init__(self, rows: Rows, schema: pa.Schema, values: dict[str, str | None]) -> None:
        self.schema = schema
        self._rows = rows
        self._values = values

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (self._filled(batch) for batch in self._rows)

    def _filled(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        given = set(batch.schema.names)
        arrays = [
            of_type(batch.column(column.name), column.type)
            if column.name in given
            else pa.repeat(pa.scalar(self._values[column.name], column.type), batch.num_rows)
            for column in self.schema
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)
