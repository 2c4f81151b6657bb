"""Delta tables in a folder or in S3; the only module that uses deltalake.

Every commit is one version, made of whole files. Must not know the warehouse, nor when something is published.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake import DeltaTable, Field, Schema
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, CommitProperties, PostCommitHookProperties, RemoveAction

from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import UNFORESEEN, OutputError
from image_history.formats import Recast, Rows
from image_history.formats.parquet import written_parquet
from image_history.publish.columns import unexplained
from image_history.publish.lake import (
    OUR_FILES,
    REGION_COLUMN,
    SOURCE_COLUMN,
    DataFile,
    Found,
    State,
    decoded,
    encoded,
    gone_on_failure,
    is_our_file,
    partition_columns,
)
from image_history.publish.target import Raised, Target, refusal, require_makeable

if TYPE_CHECKING:
    import pyarrow.parquet as pq

_ORPHANED_AFTER = timedelta(days=1)
# At each version that is a multiple of this, upkeep runs and writes a checkpoint, from which readers start.
_UPKEEP_EVERY = 10
# How many of the newest versions are searched for this writer's state, in steps; None searches all.
_LOOKED_THROUGH = (1, 32, None)
# The types of columns that get bounds in Delta's log: those whose order is the same in all engines.
_BOUNDED = (pa.types.is_integer, pa.types.is_string, pa.types.is_large_string, pa.types.is_timestamp)
_LONGEST_BOUND = 64


# The writer features that a commit of whole files satisfies without further work.
_WRITTEN = frozenset(
    {
        "appendOnly",
        "changeDataFeed",
        "checkConstraints",
        "columnMapping",
        "generatedColumns",
        "invariants",
        "timestampNtz",
    }
)
# Writer version 6 also requires identity columns; from version 7 on a table lists the features it requires.
_WRITTEN_VERSION, _NAMED_VERSION = 5, 7
_CONSTRAINT = "delta.constraints."
# Keys in a column's metadata that require writers to compute or check its values.
_COMPUTED = ("delta.generationExpression", "delta.invariants", "delta.identity.start")
_LOG, _FILE = "_delta_log", "file://"
# How many of the other entries in a folder a message names.
_SHOWN = 3
_RAISED = Raised(
    (CommitFailedError,),
    lambda: (DeltaError, pa.ArrowException, *UNFORESEEN),
    "the address, the credentials and permissions there, and that the store can be reached",
)


class DeltaLake:
    """A folder of tables, one folder each. `to` is its address as the user wrote it, `root` as deltalake needs it."""

    def __init__(self, to: str, root: str, storage: Mapping[str, str]) -> None:
        self._to = to.rstrip("/")
        self._root = root.rstrip("/")
        self._storage = dict(storage)

    def table(self, name: str, label: str | None) -> DeltaTarget:
        """The table of that name, for the writer with that label."""
        return DeltaTarget(f"{self._to}/{name}", f"{self._root}/{name}", self._storage, label)


class DeltaTarget(Target[DeltaTable]):
    """A `Table` of publish/lake.py."""

    RAISED = _RAISED

    def __init__(self, where: str, uri: str, storage: dict[str, str], label: str | None) -> None:
        super().__init__(where, label)
        self._uri = uri
        self._storage = storage

    def state(self) -> Found:
        """The table as it is, with the state from this writer's newest commit that is still in the log."""
        with self._translated():
            try:
                self._table = DeltaTable(self._uri, storage_options=self._storage)
            except TableNotFoundError:
                self._table = None
                return Found()
            except DeltaError as error:
                if "not supported" in str(error):
                    raise self._beyond(str(error)) from error
                raise
            metadata = self._table.metadata()
            self._require_writable(self._table)
            return Found(
                version=str(self._table.version()),
                state=_newest_state(self._table, self._label),
                owner=self._owner_of(metadata.configuration),
                append_only=metadata.configuration.get("delta.appendOnly", "").lower() == "true",
            )

    @property
    def _folder(self) -> Path | None:
        """The table's folder on this machine, None in S3. The URI escapes characters such as `%` and `#`."""
        return Path(unquote(self._uri.removeprefix(_FILE))) if self._uri.startswith(_FILE) else None

    def require_place(self) -> None:
        """OutputError if the table's folder cannot be written or made, or holds other files but no table."""
        with self._translated():
            folder = self._folder
            if folder is not None:
                require_makeable(self._where, folder / _LOG)
                if unquote(str(folder)) != str(folder):
                    raise refusal(
                        self._where,
                        f"deltalake reads a % and two digits in {folder} as another character",
                        "Name another folder.",
                    )
            if self._table is None and (others := self._others(folder)):
                raise refusal(
                    self._where,
                    f"there is something else in its folder ({', '.join(others[:_SHOWN])})",
                    "Name another folder.",
                )

    def require_columns(self, columns: pa.Schema) -> None:
        """OutputError if the table has a column of one of these names with another type."""
        if self._table is None:
            return
        there = {field.name: field.type for field in self._table.schema().fields}
        for field in Schema.from_arrow(columns).fields:
            found = there.get(field.name, field.type)
            if found != field.type:
                raise self._other_columns(f"{field.name}: {_named(found)} -> {_named(field.type)}")

    def files(self) -> Sequence[DataFile]:
        """The live files of this writer, according to the log."""
        with self._translated():
            actions = pa.table(self._loaded.get_add_actions(flatten=True)).to_pylist()
        ours = (each for each in actions if self._label in {None, each.get(f"partition.{SOURCE_COLUMN}")})
        return [
            DataFile(
                each.get(f"partition.{REGION_COLUMN}"),
                each["path"],
                -1 if each["num_records"] is None else each["num_records"],
                each["size_bytes"],
                each,
            )
            for each in ours
        ]

    def ensure(self, columns: pa.Schema, owner: str) -> None:
        """Create the table, or add missing columns and update comments; each change is one version without rows."""
        self._owner = owner
        with self._translated():
            if self._table is None:
                self._table = self._created(columns)
            else:
                self._evolve(self._table, columns)

    def write(self, region: str | None, rows: Rows) -> DataFile:
        """Write a file of whole row groups, with a unique name, in the table's folder."""
        table = self._loaded
        values = {SOURCE_COLUMN: self._label, REGION_COLUMN: region}
        partition = {name: values[name] for name in table.metadata().partition_columns}
        if "" in partition.values():
            raise refusal(
                self._where,
                "a region is an empty text, which Delta takes for none",
                "Leave such rows out of the view, or give them another region.",
            )
        path = f"{OUR_FILES}{uuid.uuid4()}.parquet"
        files = self._filesystem()
        with self._translated(), gone_on_failure(lambda: files.delete_file(path)):
            fault_point(Effect.CREATE, File.TABLE_FILE)
            with files.open_output_stream(path) as stream:
                fault_point(Effect.WRITE, File.TABLE_FILE)
                footer = written_parquet(Recast(rows, pa.schema(map(unexplained, rows.schema))), stream)
                size = stream.tell()
            stats = {"numRecords": footer.num_rows} | _bounds(footer, partition)
        action = AddAction(
            path, size, partition, round(time.time() * 1000), data_change=True, stats=json.dumps(stats)
        )
        return DataFile(region, path, footer.num_rows, size, action)

    def replace(self, files: Sequence[DataFile], gone: Sequence[DataFile], state: State) -> str:
        """Commit one version that adds the new files and removes the others; returns its number."""
        table = self._loaded
        removed = [_removed(file, table.metadata().partition_columns) for file in gone]
        with self._translated():
            fault_point(Effect.COMMIT, File.TABLE)
            table.create_write_transaction(
                [*(file.native for file in files), *removed],
                "append",
                table.schema(),
                table.metadata().partition_columns,
                commit_properties=_once(encoded(state, self._label)),
                post_commithook_properties=_NO_HOOKS,
            )
            fault_point(Effect.COMMITTED, File.TABLE)
            table.update_incremental()
        return str(table.version())

    def append(self, files: Sequence[DataFile], state: State) -> str:
        """Commit one version that adds files; returns its number."""
        return self.replace(files, (), state)

    def _remove(self, path: str) -> None:
        self._filesystem().delete_file(path)

    def _forget(self, keep_for: timedelta) -> None:
        """At each tenth version: write a checkpoint, and remove files that no version to be kept refers to."""
        table = self._loaded
        if table.version() % _UPKEEP_EVERY:
            return
        fault_point(Effect.COMMIT, File.UPKEEP)
        table.create_checkpoint()
        table.cleanup_metadata()
        self._sweep(table, max(keep_for, _ORPHANED_AFTER))

    def _require_writable(self, table: DeltaTable) -> None:
        """OutputError for a table that can be read, but not committed to."""
        protocol = table.protocol()
        lacking = sorted(set(protocol.writer_features or ()) - _WRITTEN)
        if _WRITTEN_VERSION < protocol.min_writer_version < _NAMED_VERSION:
            lacking.append("identityColumns")
        if lacking:
            raise self._beyond(f"it requires the writer features {', '.join(lacking)}")
        metadata = table.metadata()
        if metadata.configuration.get("delta.columnMapping.mode", "none") != "none":
            raise self._beyond("its columns have other names in its files, by delta.columnMapping.mode")
        checked = [name for name in metadata.configuration if name.startswith(_CONSTRAINT)]
        checked += [field.name for field in table.schema().fields if {*field.metadata} & {*_COMPUTED}]
        if checked:
            raise self._beyond(f"its writers have to check or compute {', '.join(sorted(checked))}")
        self._require_partitions(metadata.partition_columns)

    def _beyond(self, reason: str) -> OutputError:
        return refusal(
            self._where,
            f"image-history cannot write it with deltalake {version('deltalake')} ({reason.rstrip('.')})",
            "Drop that from the table, or publish to another folder: image-history makes its tables itself.",
        )

    def _others(self, folder: Path | None) -> list[str]:
        """The entries in the folder of a table that does not exist yet, without the log of an interrupted commit."""
        if folder is None:
            here = pafs.FileSelector("", allow_not_found=True)
            names = [each.base_name for each in self._filesystem().get_file_info(here)]
        else:
            names = [each.name for each in folder.iterdir()] if folder.exists() else []
        return sorted(name for name in names if name != _LOG)

    def _sweep(self, table: DeltaTable, keep_for: timedelta) -> None:
        """Vacuum, but only files with our names: a dry run lists them, and adds no version to the log."""
        hours = round(keep_for / timedelta(hours=1))
        files, before = self._filesystem(), datetime.now(UTC) - _ORPHANED_AFTER
        for path in table.vacuum(hours, dry_run=True, enforce_retention_duration=False, full=True):
            name = path.rsplit("/", 1)[-1]
            written = files.get_file_info(name).mtime
            if is_our_file(name) and written is not None and written < before:
                fault_point(Effect.DELETE, File.TABLE_FILE)
                files.delete_file(name)

    def _filesystem(self) -> pafs.PyFileSystem:
        return pafs.PyFileSystem(DeltaStorageHandler(self._uri, self._storage))

    def _created(self, columns: pa.Schema) -> DeltaTable:
        fault_point(Effect.CREATE, File.TABLE)
        if self._folder is not None:
            pafs.LocalFileSystem().create_dir(str(self._folder), recursive=True)
        try:
            return DeltaTable.create(
                self._uri,
                columns,
                partition_by=list(partition_columns(columns.names, self._label)),
                configuration=dict(self._new_owner({})),
                storage_options=self._storage,
                raise_if_key_not_exists=False,
                commit_properties=CommitProperties(max_commit_retries=0),
            )
        except DeltaError as error:
            if DeltaTable.is_deltatable(self._uri, self._storage):
                raise self._made_meanwhile() from error
            raise

    def _evolve(self, table: DeltaTable, columns: pa.Schema) -> None:
        """Columns are added and never dropped; a column that earlier rows lack is nullable."""
        before = table.version()
        changes = [*_column_changes(table, columns)]
        if owner := self._new_owner(table.metadata().configuration):
            changes.append(partial(table.alter.set_table_properties, owner, raise_if_not_exists=False))
        for number, change in enumerate(changes, start=1):
            fault_point(Effect.STATEMENT, File.TABLE)
            change(commit_properties=CommitProperties(max_commit_retries=0))
            table.update_incremental()
            if table.version() != before + number:
                raise self._changed_meanwhile()


def _column_changes(table: DeltaTable, columns: pa.Schema) -> Iterator[Callable[..., None]]:
    """The changes that let the table accept rows with these columns."""
    wanted = {field.name: field for field in Schema.from_arrow(columns).fields}
    there = {field.name: field for field in table.schema().fields}
    added = [
        Field(field.name, field.type, nullable=True, metadata=field.metadata)
        for field in wanted.values()
        if field.name not in there
    ]
    if added:
        yield partial(table.alter.add_columns, added)
    for field in there.values():
        if not field.nullable and (field.name not in wanted or wanted[field.name].nullable):
            yield partial(table.alter.drop_column_not_null, field.name)
        if field.name in wanted and wanted[field.name].metadata != field.metadata:
            metadata = {key: str(value) for key, value in wanted[field.name].metadata.items()}
            yield partial(table.alter.set_column_metadata, field.name, metadata)


_NO_HOOKS = PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def _once(properties: Mapping[str, str]) -> CommitProperties:
    """Commit as the next version or not at all: the changes of another writer have to be examined first."""
    return CommitProperties(custom_metadata=dict(properties), max_commit_retries=0)


def _newest_state(table: DeltaTable, label: str | None) -> State | None:
    for most in _LOOKED_THROUGH:
        commits = table.history(most)
        state = next(filter(None, (decoded(commit, label) for commit in commits)), None)
        if state is not None or (most is not None and len(commits) < most):
            return state
    return None


def _removed(file: DataFile, partitions: Sequence[str]) -> RemoveAction:
    values = {name: file.native.get(f"partition.{name}") for name in partitions}
    return RemoveAction(
        file.path,
        data_change=True,
        deletion_timestamp=round(time.time() * 1000),
        size=file.bytes,
        partition_values=values,
    )


def _bounds(found: pq.FileMetaData, partition: Mapping[str, str | None]) -> dict[str, Any]:
    """The minimum, the maximum and the number of nulls of each column, in the form of Delta's log."""
    least, most, nulls = {}, {}, {}
    for column in found.schema.to_arrow_schema():
        if column.name in partition or not any(fits(column.type) for fits in _BOUNDED):
            continue
        position = next(
            index for index in range(found.num_columns) if found.schema.column(index).path == column.name
        )
        groups = [found.row_group(group).column(position).statistics for group in range(found.num_row_groups)]
        if any(each is None or not each.has_null_count for each in groups):
            continue
        nulls[column.name] = sum(each.null_count for each in groups)
        bounded = [each for each in groups if each.has_min_max]
        filled = [each for each in groups if each.num_values]
        if bounded and len(bounded) == len(filled):
            low, high = min(each.min for each in bounded), max(each.max for each in bounded)
            if max(len(str(low)), len(str(high))) <= _LONGEST_BOUND:
                least[column.name], most[column.name] = _written(low), _written(high)
    return {"minValues": least, "maxValues": most, "nullCount": nulls}


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec='milliseconds')}Z"
    return value


def _named(kind: Any) -> str:
    return str(getattr(kind, "type", kind))
