"""The stage between load and report: publishes every dataset and lake; a failure of one undoes nothing else.

Must not know how a dataset or a table is written.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from image_history.addresses import is_copy, is_file, is_lake, scheme_of
from image_history.config import Config, Publish
from image_history.errors import ConfigError, ConnectorError, InterruptedRunError
from image_history.formats import require_replaceable
from image_history.model import Publication, Stop
from image_history.publish.copying import write_copy
from image_history.publish.destination import Destination
from image_history.publish.lakes import publish_lake
from image_history.publish.manifest import Manifest
from image_history.publish.publisher import Wanted, publish, require_same_warehouse
from image_history.warehouse.partitions import require_relations, source
from image_history.warehouse.warehouse import WarehouseFile, now_ms

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 0.5


def publish_all(
    config: Config, *, replace: bool = False, stop: Stop | None = None
) -> tuple[Publication, ...]:
    """Publish every dataset and table of the setting `publish`; one that fails has its error in the report.

    `replace` allows them to replace the data of another warehouse. Raises InterruptedRunError when
    `stop` was requested; datasets are then whole, old or new.
    """
    return tuple(
        publication
        for entry in config.publish
        for publication in (
            publish_lake(config, entry, replace=replace, stop=stop)
            if is_lake(str(entry.to))
            else (_reported(config, entry, replace=replace, stop=stop),)
        )
    )


def _reported(config: Config, entry: Publish, *, replace: bool, stop: Stop | None) -> Publication:
    try:
        return publish_one(config, entry, replace=replace, stop=stop)
    except InterruptedRunError:
        raise
    except ConnectorError as error:
        logger.warning("publication_failed", extra={"to": str(entry.to), "reason": error.message})
        return Publication(str(entry.to), error=error.message)


def publish_one(
    config: Config, entry: Publish, *, replace: bool = False, stop: Stop | None = None
) -> Publication:
    """Publish one dataset from the configured warehouse, whole or not at all; ConnectorError if that fails."""
    if is_file(str(entry.to)):
        return _file(config, entry)
    started = time.monotonic()
    wanted = Wanted(
        where=str(entry.to),
        tables=tuple(dict.fromkeys(entry.tables)),
        grace_ms=round(entry.grace.total_seconds() * 1000),
        replace=replace,
    )
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    check = (stop or Stop()).check
    with source(warehouse) as rows, place(str(entry.to), entry.profile, entry) as there:
        done = publish(there, rows, wanted, now_ms=now_ms(), check=check)
    seconds = time.monotonic() - started
    return Publication(
        wanted.where, done.rows, done.files, done.written, done.written_bytes, duration_seconds=seconds
    )


def _file(config: Config, entry: Publish) -> Publication:
    """Write the report or the copy; if that fails, raise a ConnectorError and keep the older one."""
    started, to = time.monotonic(), str(entry.to)
    _require_no_warehouse(to, config.warehouse)
    warehouse = WarehouseFile(config.warehouse, config.lock_wait.total_seconds())
    size = write_copy(warehouse, to, entry) if is_copy(to) else _report(warehouse, entry)
    return Publication(
        to, files=1, written=1, written_bytes=size, duration_seconds=time.monotonic() - started
    )


def _report(warehouse: WarehouseFile, entry: Publish) -> int:
    from image_history.publish.reporting import rendered, write_report
    from image_history.report import Selection

    content = rendered(warehouse, Selection())
    write_report(content, str(entry.to), entry)
    return len(content)


def require_ready(entry: Publish, warehouse: WarehouseFile) -> None:
    """Raise the ConnectorError that a publication would raise, as far as it can be found without writing.

    Permission to write to S3 cannot be tested like that: an address that can be read counts as ready.
    """
    to = str(entry.to)
    require_place(to)
    before: Manifest | None = None
    if to.startswith("s3:"):
        from image_history.publish.s3 import require_reachable

        before = require_reachable(to, entry.profile, report=is_file(to))
    elif is_file(to):
        _require_no_warehouse(to, warehouse.path)
        require_replaceable(Path(to))
    else:
        from image_history.publish.folder import Folder, group_number, require_dataset

        require_dataset(Path(to))
        if entry.group is not None:
            group_number(entry.group)
        before = Folder(Path(to)).manifest()
    if not is_file(to):
        require_relations(warehouse, entry.tables)
        _require_own(before, warehouse, to)


def _require_own(before: Manifest | None, warehouse: WarehouseFile, to: str) -> None:
    """OutputError if the dataset there was published from another warehouse."""
    if before is None:
        return
    if not warehouse.file.exists():
        require_same_warehouse(before, None, to)
        return
    with source(warehouse, wait_seconds=_LOOK_SECONDS) as rows:
        require_same_warehouse(before, rows, to)


def _require_no_warehouse(to: str, warehouse: Path) -> None:
    """ConfigError if a file would overwrite the warehouse, whether that exists yet or not."""
    if not to.startswith("s3:") and os.path.realpath(to) == os.path.realpath(warehouse):
        raise ConfigError(f"{to} is the warehouse itself: name another file.")


def require_place(to: str) -> None:
    """ConfigError for an address that is neither a folder nor in S3."""
    scheme = scheme_of(to)
    if scheme is not None and scheme.lower() != "s3":
        raise ConfigError(
            f"{scheme}:// is no place to write to: name a folder of this machine, or s3://bucket/name."
        )


@contextmanager
def place(to: str, profile: str | None, entry: Publish | None = None) -> Iterator[Destination]:
    """Open the destination of a dataset; raises its refusals. `entry` sets the reading group and the encryption."""
    require_place(to)
    if to.startswith("s3:"):
        from image_history.publish.s3 import Address, Prefix, encryption

        yield Prefix(Address.parse(to), profile, encryption(entry))
        return
    from image_history.publish.folder import opened

    with opened(Path(to), None if entry is None else entry.group) as folder:
        yield folder


def failed(publications: Sequence[Publication]) -> bool:
    """Whether any of them could not be made."""
    return any(publication.error is not None for publication in publications)
