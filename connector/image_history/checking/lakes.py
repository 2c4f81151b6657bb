"""Whether the lakes of `publish` could be committed to: extra and its version, credentials, catalog, tables, bucket.

Only looks: the one write that is tried in S3 names a condition that nothing meets. Must not know a format.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version

from image_history.checking.results import PARTIAL, Result, failed, ok
from image_history.config import Config, Publish
from image_history.errors import ConfigError, ConnectorError, WarehouseError
from image_history.publish.lakes import folder_in_s3, is_lake, opened, require_extra
from image_history.warehouse.partitions import require_relations
from image_history.warehouse.warehouse import WarehouseFile

_CHECK = "lake"


def look_at_lakes(config: Config) -> Iterator[Result]:
    """A result for each lake that is configured."""
    warehouse = WarehouseFile(config.warehouse)
    return (_looked_at(entry, warehouse) for entry in config.publish if is_lake(str(entry.to)))


def _looked_at(entry: Publish, warehouse: WarehouseFile) -> Result:
    to = str(entry.to)
    try:
        package = require_extra(to)
    except ConfigError as error:
        told, _, fix = error.message.partition(": ")
        return failed(_CHECK, to, f"{told}.", fix=fix, exit_code=PARTIAL)
    try:
        # What is wrong with the warehouse is told as its own trouble.
        with suppress(WarehouseError):
            require_relations(warehouse, entry.tables)
        lake = opened(entry)
        there = [name for name in entry.tables if lake.table(name, entry.label).state().version]
        _require_writable(entry)
    except ConnectorError as error:
        fix = (
            "Correct address, properties or credentials, or allow what check --emit-policy=publisher prints."
        )
        return failed(_CHECK, to, error.message, fix=fix, exit_code=PARTIAL)
    tables = f"{len(there)} of {len(entry.tables)} tables are there"
    return ok(_CHECK, to, f"answers; {tables} ({package} {version(package)})")


def _require_writable(entry: Publish) -> None:
    """ConnectorError if the bucket of a lake does not take objects from these credentials."""
    place = folder_in_s3(entry)
    if place is not None:
        from image_history.aws.lake_keys import require_may_put

        require_may_put(place, entry.profile)
