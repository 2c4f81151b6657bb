"""Iceberg tables in any catalog that pyiceberg supports; the only module that uses pyiceberg.

Every commit is one snapshot, made of whole files. Must not know the warehouse, nor when something is published.
"""

from __future__ import annotations

import re
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.fs as pafs
from pyiceberg import exceptions
from pyiceberg.catalog import MetastoreCatalog, load_catalog
from pyiceberg.expressions import AlwaysTrue, EqualTo
from pyiceberg.io.pyarrow import (
    PyArrowFileIO,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
    pyarrow_to_schema,
    schema_to_pyarrow,
)
from pyiceberg.manifest import DataFile as NativeFile
from pyiceberg.manifest import DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.transforms import IdentityTransform
from pyiceberg.utils.config import Config as PyicebergConfig

from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import UNFORESEEN, OutputError
from image_history.formats import Recast, Rows
from image_history.formats.parquet import written_parquet
from image_history.publish.columns import narrowed, numbered, unexplained
from image_history.publish.lake import (
    LABEL,
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
from image_history.publish.sqlite import (
    CATALOG_TABLE,
    catalog_file,
    holds_catalog,
    read_only_uri,
    require_file,
)
from image_history.publish.target import Raised, Target, refusal, require_makeable, translated

if TYPE_CHECKING:
    from pyarrow.parquet import FileMetaData
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table as IcebergTable
    from pyiceberg.table.metadata import TableMetadata
    from pyiceberg.table.snapshots import Snapshot

_FIRST_PARTITION_ID = 1000
_NEWEST_FORMAT = 2
_CUTTING = "#?"
_ORPHANED_AFTER = timedelta(days=1)
# Upkeep is due when a version has outlived the time to keep it by so much, not at every commit.
_SLACK = timedelta(days=1)
# A commit that loses a conflict is not repeated by pyiceberg but planned again here: it may be done or wrong by now.
_NO_RETRY = {"commit.retry.num-retries": "0"}
_PROPERTIES = {
    "format-version": "2",
    **_NO_RETRY,
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
}
# Files that interrupted commits of pyiceberg leave in a table's metadata folder.
_METADATA = re.compile(
    r"([0-9a-f-]{36}-m\d+\.avro|snap-\d+-\d+-[0-9a-f-]{36}\.avro|\d{5}-[0-9a-f-]{36}\.metadata\.json)"
)
_CONFLICTS = (
    exceptions.CommitFailedException,
    exceptions.CommitStateUnknownException,
    exceptions.ValidationException,
)
_OWN = tuple(
    each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception)
)
# Errors of libraries that pyiceberg may use, by module and name; a library that is not loaded raised nothing.
_BELOW = (
    ("sqlalchemy.exc", "SQLAlchemyError"),
    ("botocore.exceptions", "BotoCoreError"),
    ("botocore.exceptions", "ClientError"),
    ("requests.exceptions", "RequestException"),
)


def _below() -> tuple[type[Exception], ...]:
    loaded = ((sys.modules.get(module), name) for module, name in _BELOW)
    return tuple(getattr(module, name) for module, name in loaded if module is not None)


_RAISED = Raised(
    _CONFLICTS,
    lambda: (*_OWN, *_below(), pa.ArrowException, *UNFORESEEN),
    "the catalog's properties, its credentials and permissions, and that it can be reached",
)


class IcebergLake:
    """A namespace of a catalog, made with its first table. `file` is the file of a catalog in SQLite."""

    def __init__(self, catalog: Catalog, namespace: str, file: Path | None = None) -> None:
        self._catalog = catalog
        self._namespace = namespace
        self._file = file

    @classmethod
    def opened(
        cls, name: str, namespace: str, properties: Mapping[str, str], *, looking: bool = False
    ) -> IcebergLake:
        """The catalog of that name, as pyiceberg's own configuration and these properties describe it.

        With `looking`, nothing is created, although the first use of some catalogs would create them.
        """
        settled = {"py-io-impl": "pyiceberg.io.pyarrow.PyArrowFileIO", **properties}
        where = f"the catalog {name!r}"
        with translated(where, _RAISED):
            elsewhere = PyicebergConfig().get_catalog_config(name) or {}
            file = catalog_file(settled.get("uri", str(elsewhere.get("uri", ""))))
            there = file is not None and holds_catalog(where, file)
            if file is not None and not there:
                require_file(where, file)
            if looking:
                return cls(_looked_at(name, settled, file, there=there), namespace, file)
            try:
                return cls(load_catalog(name, **settled), namespace, file)
            except _below():
                # A catalog in a database creates its tables at first use: two publishers may do that at once.
                return cls(load_catalog(name, **settled), namespace, file)

    def table(self, name: str, label: str | None) -> IcebergTarget:
        """The table of that name, for the writer with that label."""
        return IcebergTarget(self._catalog, f"{self._namespace}.{name}", label, self._file)


class IcebergTarget(Target["IcebergTable"]):
    """A `Table` of publish/lake.py."""

    RAISED = _RAISED

    def __init__(self, catalog: Catalog, identifier: str, label: str | None, file: Path | None) -> None:
        namespace, _, name = identifier.rpartition(".")
        super().__init__(f"iceberg://{catalog.name}/{namespace}/{name}", label)
        self._catalog = catalog
        self._identifier = identifier
        self._file = file
        self._base: int | None = None

    def state(self) -> Found:
        """The table as it is, with the state from this writer's newest commit that is still in its history."""
        with self._translated():
            try:
                self._table = self._catalog.load_table(self._identifier)
            except (exceptions.NoSuchTableError, exceptions.NoSuchNamespaceError):
                self._table, self._base = None, None
                return Found()
            except ValueError as error:
                # From pydantic, which parses the metadata and lists the parts that it does not know.
                listed = getattr(error, "errors", None)
                raise self._not_understood(str(listed()[-1]["msg"] if listed else error)) from error
        metadata, newest = self._table.metadata, self._table.current_snapshot()
        self._require_writable()
        self._base = None if newest is None else newest.snapshot_id
        return Found(
            version="none" if newest is None else str(newest.snapshot_id),
            state=next(
                filter(None, (_state(each, self._label) for each in ancestors_of(newest, metadata))), None
            ),
            owner=self._owner_of(metadata.properties),
        )

    def require_place(self) -> None:
        """OutputError if the catalog's file or the table's folder cannot be written or made."""
        if self._file is not None:
            require_file(self._where, self._file)
        base = (
            self._catalog.properties.get("warehouse", "") if self._table is None else self._table.location()
        )
        scheme, _, path = PyArrowFileIO.parse_location(base) if base else ("", "", "")
        if scheme != "file":
            return
        require_makeable(self._where, Path(path))
        if {*base} & {*_CUTTING}:
            raise refusal(self._where, f"pyiceberg cuts {base} at # and ?", "Name another folder.")
        data = Path(path, *self._identifier.rsplit(".", 1), "data")
        if self._table is None and data.exists() and any(data.iterdir()):
            # Those files would count as orphans of this table, and be removed.
            raise refusal(
                self._where,
                f"the files of another catalog's table are in {data.parent}",
                "Name another folder as the catalog's warehouse, or remove them if they are of no use.",
            )

    def require_columns(self, columns: pa.Schema) -> None:
        """OutputError if a column of one of these names has another type in the table, other than a wider one."""
        if self._table is None:
            return
        wanted = _relaxed(pyarrow_to_schema(numbered(columns)), set(self._table.schema().column_names))
        try:
            self._table.update_schema().union_by_name(wanted)
        except exceptions.ValidationError as error:
            raise self._other_columns(str(error)) from error

    def files(self) -> Sequence[DataFile]:
        """The live files of this writer, according to the manifests."""
        table = self._loaded
        mine = AlwaysTrue() if self._label is None else EqualTo(SOURCE_COLUMN, self._label)  # type: ignore[call-arg,arg-type]  # its own way
        names = [field.name for field in table.spec().fields]
        with self._translated():
            try:
                tasks = list(table.scan(row_filter=mine).plan_files())
            except (ValueError, NotImplementedError) as error:
                if self._has_equality_deletes():
                    raise self._deleted_by_value() from error
                raise
        return [
            DataFile(
                task.file.partition[names.index(REGION_COLUMN)] if REGION_COLUMN in names else None,
                task.file.file_path,
                -1 if task.delete_files else task.file.record_count,
                task.file.file_size_in_bytes,
                task.file,
            )
            for task in tasks
        ]

    def ensure(self, columns: pa.Schema, owner: str) -> None:
        """Create the namespace and the table, or add missing columns and update comments."""
        self._owner = owner
        wanted = pyarrow_to_schema(numbered(columns))
        with self._translated():
            if self._table is None:
                self._table = self._created(wanted)
                return
            fault_point(Effect.STATEMENT, File.TABLE)
            if not _NO_RETRY.items() <= self._table.properties.items():
                # For a table that another program made, pyiceberg would repeat our commit after another writer's.
                with self._table.transaction() as transaction:
                    transaction.set_properties(_NO_RETRY)
            if _described(self._table.schema()) != _described(wanted):
                self._evolve(wanted)
        newest = self._table.current_snapshot()
        if (None if newest is None else newest.snapshot_id) != self._base:
            raise self._changed_meanwhile()

    def write(self, region: str | None, rows: Rows) -> DataFile:
        """Write a file of whole row groups, with a unique name, at the table's data location."""
        table = self._loaded
        path = table.location_provider().new_data_location(f"{OUR_FILES}{uuid.uuid4()}.parquet")
        schema = _file_schema(table.schema(), rows.schema)
        with self._translated(), gone_on_failure(lambda: table.io.delete(path)):
            fault_point(Effect.CREATE, File.TABLE_FILE)
            output = table.io.new_output(path)
            with output.create() as stream:
                fault_point(Effect.WRITE, File.TABLE_FILE)
                footer = written_parquet(Recast(rows, schema), stream)
            native = _native_file(table.metadata, path, footer, len(output))
        return DataFile(region, path, footer.num_rows, native.file_size_in_bytes, native)

    def replace(self, files: Sequence[DataFile], gone: Sequence[DataFile], state: State) -> str:
        """Commit one snapshot that adds the new files and removes the others; returns its id."""
        table = self._loaded
        with self._translated(committing=True):
            fault_point(Effect.COMMIT, File.TABLE)
            with table.transaction() as transaction:
                if owner := self._new_owner(table.metadata.properties):
                    transaction.set_properties(owner)
                properties = dict(encoded(state, self._label))
                with transaction.update_snapshot(snapshot_properties=properties).overwrite() as snapshot:
                    for file in gone:
                        snapshot.delete_data_file(file.native)
                    for file in files:
                        snapshot.append_data_file(file.native)
        fault_point(Effect.COMMITTED, File.TABLE)
        newest = table.current_snapshot()
        return "" if newest is None else str(newest.snapshot_id)

    def append(self, files: Sequence[DataFile], state: State) -> str:
        """Commit one snapshot that adds files. No fast append: it would be repeated after another writer's commit."""
        return self.replace(files, (), state)

    def _remove(self, path: str) -> None:
        self._loaded.io.delete(path)

    def _forget(self, keep_for: timedelta) -> None:
        """Expire old snapshots, and remove files that none refers to any more."""
        table = self._loaded.refresh()
        oldest_kept = _ms(datetime.now(UTC) - keep_for)
        protected = _newest_of_each_label(table)
        old = [
            each
            for each in table.metadata.snapshots
            if each.timestamp_ms < oldest_kept and each.snapshot_id not in protected
        ]
        slack = min(_SLACK, keep_for)
        if not any(each.timestamp_ms < oldest_kept - slack / timedelta(milliseconds=1) for each in old):
            return
        fault_point(Effect.COMMIT, File.UPKEEP)
        table.maintenance.expire_snapshots().by_ids([each.snapshot_id for each in old]).commit()
        self._sweep(table.refresh())

    def _sweep(self, table: IcebergTable) -> None:
        """Remove files with our names, older than a day, that no snapshot and no kept metadata refers to."""
        known = _known_files(table)
        before = datetime.now(UTC) - _ORPHANED_AFTER
        for path, modified in _listed(table):
            name = path.rsplit("/", 1)[-1]
            ours = is_our_file(name) or _METADATA.fullmatch(name)
            if ours and modified < before and path not in known:
                fault_point(Effect.DELETE, File.TABLE_FILE)
                table.io.delete(path)

    def _require_writable(self) -> None:
        """OutputError for a table that can be read, but not committed to."""
        metadata = self._loaded.metadata
        if metadata.format_version > _NEWEST_FORMAT:
            raise self._not_understood(
                f"it is of format version {metadata.format_version}, and {_NEWEST_FORMAT} is the newest it writes"
            )
        fields = metadata.spec().fields
        self._require_partitions(
            [
                field.name if isinstance(field.transform, IdentityTransform) else f"{field.transform}"
                for field in fields
            ]
        )

    def _has_equality_deletes(self) -> bool:
        newest = self._loaded.current_snapshot()
        summary = None if newest is None else newest.summary
        return summary is not None and summary.get("total-equality-deletes") not in {None, "0"}

    def _deleted_by_value(self) -> OutputError:
        return refusal(
            self._where,
            f"its rows were deleted by value (equality deletes), which pyiceberg {version('pyiceberg')} cannot read",
            "Let the program that deleted them compact the table, or publish to another namespace.",
        )

    def _not_understood(self, reason: str) -> OutputError:
        return refusal(
            self._where,
            f"pyiceberg {version('pyiceberg')} cannot write it ({reason})",
            "Publish to another namespace: image-history makes its tables itself.",
        )

    def _created(self, schema: Schema) -> IcebergTable:
        names = partition_columns(schema.column_names, self._label)
        fields = [
            PartitionField(
                source_id=schema.find_field(name).field_id,
                field_id=_FIRST_PARTITION_ID + number,
                transform=IdentityTransform(),
                name=name,
            )
            for number, name in enumerate(names)
        ]
        fault_point(Effect.CREATE, File.TABLE)
        self._ensure_namespace(self._identifier.rpartition(".")[0])
        try:
            return self._catalog.create_table(
                self._identifier, schema, partition_spec=PartitionSpec(*fields), properties=_PROPERTIES
            )
        except exceptions.TableAlreadyExistsError as error:
            raise self._made_meanwhile() from error

    def _ensure_namespace(self, namespace: str) -> None:
        if self._catalog.namespace_exists(namespace):
            return
        try:
            self._catalog.create_namespace(namespace)
        except (*_OWN, *_below()):
            # Another publisher may have created it meanwhile; each catalog reports that with another error.
            if not self._catalog.namespace_exists(namespace):
                raise

    def _evolve(self, wanted: Schema) -> None:
        """Columns are added and never dropped; a column that the rows no longer have becomes nullable."""
        table = self._loaded
        there = set(table.schema().column_names)
        with table.update_schema() as update:
            update.union_by_name(_relaxed(wanted, there))
            for field in table.schema().fields:
                if field.required and field.name not in wanted.column_names:
                    update.make_column_optional(field.name)
        self._table = table


def _state(snapshot: Snapshot, label: str | None) -> State | None:
    summary = snapshot.summary
    return None if summary is None else decoded(summary.additional_properties, label)


def _newest_of_each_label(table: IcebergTable) -> set[int]:
    """The newest snapshot of each writer, and those of branches and tags: they are kept longer than others."""
    newest: dict[str, int] = {}
    for snapshot in ancestors_of(table.current_snapshot(), table.metadata):
        properties = {} if snapshot.summary is None else snapshot.summary.additional_properties
        if LABEL in properties:
            newest.setdefault(properties[LABEL], snapshot.snapshot_id)
    # Snapshots of branches and tags cannot be expired either.
    return set(newest.values()) | {ref.snapshot_id for ref in table.metadata.refs.values()}


def _known_files(table: IcebergTable) -> set[str]:
    metadata = table.metadata
    known = {table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)}
    known |= {each.statistics_path for each in metadata.statistics}
    known |= {each.statistics_path for each in metadata.partition_statistics}
    for snapshot in metadata.snapshots:
        known.add(snapshot.manifest_list)
        known |= {manifest.manifest_path for manifest in snapshot.manifests(table.io)}
    known |= set(table.inspect.all_files()["file_path"].to_pylist())
    return {_plain(path) for path in known}


def _listed(table: IcebergTable) -> Iterator[tuple[str, datetime]]:
    """Every file below the table's location, and when it was last written."""
    io = table.io
    if not isinstance(io, PyArrowFileIO):
        return
    scheme, host, path = io.parse_location(table.location())
    for found in io.fs_by_scheme(scheme, host).get_file_info(pafs.FileSelector(path, recursive=True)):
        if found.type is pafs.FileType.File and found.mtime is not None:
            address = f"{scheme}://{found.path}" if scheme != "file" else found.path
            yield _plain(address), found.mtime


def _plain(path: str) -> str:
    """A path without the scheme of local files, which is optional."""
    return path.removeprefix("file://")


def _described(schema: Schema) -> set[tuple[str, str, bool, str | None]]:
    return {(field.name, str(field.field_type), field.required, field.doc) for field in schema.fields}


def _relaxed(schema: Schema, there: set[str]) -> Schema:
    """The schema with the columns nullable that earlier rows lack."""
    fields = [
        field if field.name in there else field.model_copy(update={"required": False})
        for field in schema.fields
    ]
    return Schema(*fields)


def _native_file(metadata: TableMetadata, path: str, footer: FileMetaData, size: int) -> NativeFile:
    """The manifest entry of a file that was just written, from its footer.

    Made as pyiceberg's writers make it. `parquet_file_to_data_file` would read the footer from the store again, and
    compare the file's columns with the table's, although we made them from these.
    """
    schema = metadata.schema()
    statistics = data_file_statistics_from_parquet_metadata(
        footer, compute_statistics_plan(schema, metadata.properties), parquet_path_to_id_mapping(schema)
    )
    return NativeFile.from_args(
        content=DataFileContent.DATA,
        file_path=path,
        file_format=FileFormat.PARQUET,
        partition=statistics.partition(metadata.spec(), schema),
        file_size_in_bytes=size,
        sort_order_id=None,
        spec_id=metadata.default_spec_id,
        equality_ids=None,
        key_metadata=None,
        **statistics.to_serialized_dict(),
    )


def _file_schema(schema: Schema, given: pa.Schema) -> pa.Schema:
    """The schema of a file: the given columns as the table has them, with their numbers and without their meaning."""
    there = schema_to_pyarrow(schema)
    return pa.schema([unexplained(narrowed(there.field(name))) for name in given.names])


def _ms(instant: datetime) -> int:
    return round(instant.timestamp() * 1000)


def _looked_at(name: str, properties: Mapping[str, str], file: Path | None, *, there: bool) -> Catalog:
    """A catalog that writes nothing; an empty one in memory if the database holds no catalog yet."""
    if file is None or there:
        read_only = {} if file is None else {"uri": read_only_uri(file)}
        catalog = load_catalog(name, **{**properties, "init_catalog_tables": "false", **read_only})
        if not isinstance(catalog, MetastoreCatalog) or _is_made(catalog):
            return catalog
    return load_catalog(name, **{**properties, "type": "sql", "uri": "sqlite:///:memory:"})


def _is_made(catalog: MetastoreCatalog) -> bool:
    """Whether a catalog in a database has its tables; True for other catalogs, which need none."""
    engine = getattr(catalog, "engine", None)
    if engine is None:
        return True
    with engine.connect() as connection:
        return bool(engine.dialect.has_table(connection, CATALOG_TABLE))
