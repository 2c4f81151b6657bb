"""Checks whether the lakes of `publish` accept commits, as the next publication does before its first write.

Changes nothing: the one write that is tried in S3 has a condition that is never met. Must not know a format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version

from image_history.addresses import is_lake
from image_history.checking.results import PARTIAL, Result, failed, ok
from image_history.config import Config, Publish
from image_history.counting import counted
from image_history.errors import ConfigError, ConnectorError, WarehouseError
from image_history.publish.lake import Found, Lake
from image_history.publish.lakes import folder_in_s3, opened, require_extra, wanted_of
from image_history.publish.tables import require_publishable
from image_history.warehouse.partitions import LOOK_SECONDS, Source, require_relations, source
from image_history.warehouse.warehouse import WarehouseFile

_CHECK = "lake"
_FIX = (
    "Follow the message, correct this entry of publish, or allow what check --emit-policy=publisher prints."
)


def look_at_lakes(config: Config) -> Iterator[Result]:
    """A result for each lake that is configured, or one for each of its tables that cannot be published."""
    warehouse = WarehouseFile(config.warehouse)
    for entry in config.publish:
        if is_lake(str(entry.to)):
            yield from _looked_at(entry, warehouse)


def _looked_at(entry: Publish, warehouse: WarehouseFile) -> Iterator[Result]:
    to = str(entry.to)
    try:
        package = require_extra(to)
    except ConfigError as error:
        message, _, fix = error.message.partition(": ")
        yield failed(_CHECK, to, f"{message}.", fix=fix, exit_code=PARTIAL)
        return
    try:
        lake = opened(entry, looking=True)
        _require_writable(entry)
    except ConnectorError as error:
        yield failed(_CHECK, to, error.message, fix=_FIX, exit_code=PARTIAL)
        return
    troubles, there = [], 0
    for name in dict.fromkeys(entry.tables):
        try:
            there += bool(_table(lake, entry, name, warehouse).version)
        except ConnectorError as error:
            troubles.append(
                failed(_CHECK, f"{to.rstrip('/')}/{name}", error.message, fix=_FIX, exit_code=PARTIAL)
            )
    tables = f"{there} of {counted(len(entry.tables), 'table is', 'tables are')} there"
    yield from troubles or [ok(_CHECK, to, f"answers; {tables} ({package} {version(package)})")]


def _table(lake: Lake, entry: Publish, name: str, warehouse: WarehouseFile) -> Found:
    """The current state of a table. Raises what a publication would raise."""
    table = lake.table(name, entry.label)
    try:
        with _known(warehouse) as rows:
            if rows is None:
                require_relations(warehouse, [name])
            return require_publishable(table, rows, wanted_of(entry, name))
    except WarehouseError:
        # The check of the warehouse reports this; the owner of the table cannot be compared without it.
        table.require_place()
        return table.state()


@contextmanager
def _known(warehouse: WarehouseFile) -> Iterator[Source | None]:
    if not warehouse.file.exists():
        yield None
        return
    with source(warehouse, wait_seconds=LOOK_SECONDS) as rows:
        yield rows


def _require_writable(entry: Publish) -> None:
    """ConnectorError if the bucket of a lake does not take objects from these credentials."""
    place = folder_in_s3(entry)
    if place is not None:
        from image_history.aws.lake_keys import require_may_put

        require_may_put(place, entry.profile)
