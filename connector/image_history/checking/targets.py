"""Checks whether the entries of `publish` can be published: writable destinations, and tables that exist.

Read-only. Must not know how anything is published.
"""

from __future__ import annotations

from collections.abc import Iterator

from image_history.addresses import is_lake
from image_history.checking.results import PARTIAL, Result, failed, ok
from image_history.config import Config, Publish
from image_history.errors import ConnectorError, WarehouseError
from image_history.publish.stage import require_ready
from image_history.warehouse.warehouse import WarehouseFile


def look_at_targets(config: Config) -> Iterator[Result]:
    """A result for each entry of `publish` except lakes. If one fails, a sync exits with 4, and its load is kept."""
    for entry in config.publish:
        if is_lake(str(entry.to)):
            continue  # checking/lakes.py
        try:
            require_ready(entry, WarehouseFile(config.warehouse))
        except WarehouseError:
            # The check of the warehouse reports this; the tables cannot be looked up.
            continue
        except ConnectorError as error:
            yield _trouble(entry, error)
        else:
            yield ok("publish", str(entry.to), "can be published")


def _trouble(entry: Publish, error: ConnectorError) -> Result:
    fix = "Correct that, or this entry of publish: a sync loads its rows, publishes nothing there, and exits with 4."
    return failed("publish", str(entry.to), error.message, fix=fix, exit_code=PARTIAL)
