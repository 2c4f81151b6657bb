"""Publishes one dataset: writes the partitions that changed, keeps the others, and shows all in one step.

Must not know in what kind of place a dataset lies, nor the caller.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from image_history.errors import ConnectorError, OutputError
from image_history.formats import Format, Sink, write_rows
from image_history.publish.destination import Destination
from image_history.publish.manifest import Column, DataFile, Manifest, Superseded, Table, folder_of
from image_history.version import __version__
from image_history.warehouse.partitions import PARTITION_COLUMN, Partition, Relation, Run, Source

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)


# Called before each file; may raise to end a publication.
Check = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Done:
    """The result of a publication. `written` and `written_bytes` count the files that did not exist before."""

    rows: int
    files: int
    written: int
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The wanted dataset. `grace_ms` is how long a file is kept after the publication that superseded it.

    `replace` allows it to replace a dataset of another warehouse.
    """

    where: str
    tables: tuple[str, ...]
    grace_ms: int
    replace: bool = False


def publish(place: Destination, source: Source, wanted: Wanted, *, now_ms: int, check: Check) -> Done:
    """Publish the tables as they are in the warehouse. Nothing is written if there was no sync since the last time.

    `now_ms` is UTC epoch milliseconds; `check` is called before each file, and may raise to end it. After
    any error, readers see either the whole dataset of before or the whole new one.
    """
    before = place.manifest()
    run = source.newest_run()
    if run is None:
        raise OutputError(f"There is nothing to publish to {wanted.where}: run image-history sync first.")
    if not wanted.replace:
        require_same_warehouse(before, source, wanted.where)
    place.sweep(before, _expired(before, wanted, now_ms))
    if before is not None and _is_current(place, before, run, wanted):
        return _done(before, ())
    with _swept_after_failure(place):
        making = _Making(place, source, before, check)
        manifest = making.manifest(run, wanted.tables, now_ms)
        place.commit(manifest)
    logger.info("dataset_published", extra={"to": wanted.where, "written": len(making.written)})
    place.sweep(manifest, _expired(manifest, wanted, now_ms))
    return _done(manifest, making.written)


@contextmanager
def _swept_after_failure(place: Destination) -> Iterator[None]:
    """If the block fails, remove the files that it wrote, unless the destination refuses that too."""
    try:
        yield
    except BaseException:
        with suppress(OSError, ConnectorError):
            place.sweep(place.manifest(), ())
        raise


def require_same_warehouse(before: Manifest | None, source: Source | None, where: str) -> None:
    """OutputError if a dataset is not from this warehouse; `source` is None if there is no warehouse yet.

    A warehouse that lacks the published run is another one, or an older copy.
    """
    if before is None:
        return
    same = source is not None and before.warehouse_id in {None, source.warehouse_id()}
    if same and source is not None and source.has_run(before.etl_run_id, _milliseconds(before.data_as_of)):
        return
    raise OutputError(
        f"{where} was published from another warehouse, or from a newer copy of this one: run "
        f"{before.etl_run_id}, which is in it, is not this one's. Nothing was changed. Publish to another place, "
        "or with --replace if this warehouse shall take over.",
        run_id=before.etl_run_id,
    )


def _is_current(place: Destination, before: Manifest, run: Run, wanted: Wanted) -> bool:
    """Whether a publication would change nothing: only a sync or an upgrade changes a warehouse."""
    return (
        (before.etl_run_id, before.data_as_of) == (run.run_id, _iso(run.finished_ms))
        and before.warehouse_id is not None
        and before.connector_version == __version__
        and tuple(table.name for table in before.tables) == wanted.tables
        and all(map(place.holds, before.files))
    )


@dataclass(slots=True)
class _Making:
    """The files of a publication while it is made."""

    place: Destination
    source: Source
    before: Manifest | None
    check: Check
    files: list[DataFile] = field(default_factory=list)
    written: list[DataFile] = field(default_factory=list)

    def manifest(self, run: Run, tables: Sequence[str], now_ms: int) -> Manifest:
        """Write or keep all files; returns the manifest, which is not visible to readers yet."""
        publication = f"{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        self.place.begin(publication)
        described = tuple(self.table(self.source.relation(name)) for name in tables)
        return Manifest(
            publication=publication,
            connector_version=__version__,
            etl_run_id=run.run_id,
            data_as_of=_iso(run.finished_ms),
            tables=described,
            files=tuple(self.files),
            superseded=_superseded(self.place, self.before, self.files, now_ms),
            warehouse_id=self.source.warehouse_id(),
        )

    def table(self, relation: Relation) -> Table:
        known = {(file.region, file.fingerprint): file for file in self._before(relation.name)}
        files = []
        for partition in self.source.partitions(relation):
            self.check()
            found = known.get((partition.value, partition.fingerprint))
            if found is not None and self.place.holds(found):
                files.append(self._kept(found))
            else:
                files.append(self._written(relation, partition))
        self.files += files
        return _described(relation, files)

    def _before(self, table: str) -> Sequence[DataFile]:
        return () if self.before is None else self.before.of(table)

    def _kept(self, file: DataFile) -> DataFile:
        return _at(file, self.place.keep(file))

    def _written(self, relation: Relation, partition: Partition) -> DataFile:
        """Write a partition. The file may equal the earlier one, if rows were reordered or changed back."""
        folder = folder_of(relation.name, partition.value, cut=partition.cut)
        earlier = [file for file in self._before(relation.name) if file.region == partition.value]
        fill = partial(_fill, self.source, relation, partition)
        written = self.place.write(folder, fill, earlier[0] if earlier else None)
        file = DataFile(
            relation.name,
            written.path,
            partition.value,
            written.rows,
            written.bytes,
            written.sha256,
            partition.fingerprint,
        )
        if file.sha256 not in {other.sha256 for other in earlier}:
            self.written.append(file)
        return file


def _fill(source: Source, relation: Relation, partition: Partition, sink: Sink) -> int:
    with source.rows(relation, partition) as rows:
        return write_rows(rows, sink, Format.PARQUET)


def _at(file: DataFile, path: str) -> DataFile:
    return DataFile(file.table, path, file.region, file.rows, file.bytes, file.sha256, file.fingerprint)


def _described(relation: Relation, files: Sequence[DataFile]) -> Table:
    return Table(
        relation.name,
        sum(file.rows for file in files),
        sum(file.bytes for file in files),
        (PARTITION_COLUMN,) if relation.partitioned else (),
        relation.order,
        tuple(map(_column, relation.columns)),
    )


def _column(column: pa.Field) -> Column:
    comment = (column.metadata or {}).get(b"comment", b"").decode()
    return Column(column.name, str(column.type), column.nullable, comment)


def _superseded(
    place: Destination, before: Manifest | None, files: Sequence[DataFile], now_ms: int
) -> tuple[Superseded, ...]:
    """The paths that are superseded now, and those that were superseded earlier and still exist."""
    if before is None:
        return ()
    used = {file.path for file in files}
    earlier = [gone for gone in before.superseded if gone.path not in used and place.lasts(gone.path)]
    return (*earlier, *(Superseded(path, now_ms) for path in place.superseded(before, files)))


def _expired(manifest: Manifest | None, wanted: Wanted, now_ms: int) -> Collection[str]:
    if manifest is None:
        return ()
    return [gone.path for gone in manifest.superseded if gone.at_ms + wanted.grace_ms <= now_ms]


def _done(manifest: Manifest, written: Sequence[DataFile]) -> Done:
    return Done(
        sum(file.rows for file in manifest.files),
        len(manifest.files),
        len(written),
        sum(file.bytes for file in written),
    )


def _milliseconds(iso: str) -> int:
    """UTC epoch milliseconds of a text from `_iso`; 0 for any text that is not a time."""
    try:
        return round(datetime.fromisoformat(iso).timestamp() * 1000)
    except ValueError:
        return 0


def _iso(milliseconds: int) -> str:
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)
    return f"{instant.isoformat(timespec='milliseconds')}Z"
