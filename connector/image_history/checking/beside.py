"""Checks what a sync can run without: the user's saved queries, and the telemetry variables OTEL_*.

Each problem is a warning. Read-only; must not know AWS, or what a query asks.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from image_history.checking.results import Result, ok, warning
from image_history.config import Config
from image_history.errors import ConfigError
from image_history.telemetry import unsent
from image_history.warehouse.saved import own_queries, saved_names


def look_beside(config: Config) -> Iterator[Result]:
    """Check the saved queries, if they are configured, and the telemetry variables."""
    if config.queries is not None:
        yield from _queries(config.queries)
    for reason in unsent(os.environ):
        fix = "Correct that, or unset the variables OTEL_*: a sync sends nothing until then."
        yield warning("telemetry", "OTEL_*", f"No telemetry is sent: {reason}.", fix)


def _queries(folder: Path) -> Iterator[Result]:
    """Check the folder of the setting queries: a warning for each file that cannot be used."""
    where = str(folder)
    try:
        saved_names(folder)
    except ConfigError as error:
        fix = (
            "Make that folder, or correct the setting queries: image-history query @NAME and queries need it."
        )
        yield warning("queries", where, error.message, fix)
        return
    found = own_queries(folder)
    wrong = [each.message for each in found if isinstance(each, ConfigError)]
    for message in wrong:
        fix = "Correct that file: image-history queries lists none until then."
        yield warning("queries", where, message, fix)
    if not wrong:
        yield ok("queries", where, f"{len(found):,} of your own can be read")
