"""Brings one dataset in step with the warehouse: what changed is written, the rest kept, and one step shows it.

Must not know in what kind of place a dataset lies, nor who asked for it.
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
    """What a publication came to. `written` and `written_bytes` count the files that were not there before."""

    rows: int
    files: int
    written: int
    written_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a dataset shall be. `grace_ms` is how long a file lasts after the publication that left it behind.

    `replace` lets it take the place of what another warehouse published.
    """

    where: str
    tables: tuple[str, ...]
    grace_ms: int
    replace: bool = False


def publish(place: Destination, source: Source, wanted: Wanted, *, now_ms: int, check: Check) -> Done:
    """Publish the tables as they stand in the warehouse. Nothing is written if nothing was synced since.

    `now_ms` is UTC epoch milliseconds; `check` is called before each file, and may raise to end it. Whatever
    is raised, readers see the whole dataset before or the whole new one.
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
    """Whatever ends the block early leaves no files behind, unless the place refuses even that."""
    try:
        yield
    except BaseException:
        with suppress(OSError, ConnectorError):
            place.sweep(place.manifest(), ())
        raise


def require_same_warehouse(before: Manifest | None, source: Source | None, where: str) -> None:
    """OutputError if a dataset is not of this warehouse, which is None if there is none yet.

    A warehouse that lacks the run that was published is another one, or an older copy of it.
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
    """Whether what readers see is what would be published: a sync and an upgrade are all that changes a warehouse."""
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
        """The publication, complete but for the step that shows it."""
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
        """Write a partition. Rows that lie otherwise, or that changed back, may give the very file of before."""
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
    """What is left behind now, and what was left behind earlier and has not been removed yet."""
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
    """UTC epoch milliseconds of what `_iso` wrote; 0 of what somebody else did."""
    try:
        return round(datetime.fromisoformat(iso).timestamp() * 1000)
    except ValueError:
        return 0


def _iso(milliseconds: int) -> str:
    instant = datetime.fromtimestamp(milliseconds / 1000, UTC).replace(tzinfo=None)
    return f"{instant.isoformat(timespec='milliseconds')}Z"
