"""Turns DuckDB's messages about a file that cannot be opened into errors that say what to do.

Pure: takes messages as arguments.
"""

from __future__ import annotations

import re
from pathlib import Path

from image_history.errors import WarehouseError, WarehouseLockedError

# DuckDB has one message for a log that is too old or too new, and another for a log of another file.
_OTHER_LOG = re.compile(r"WAL.*does not match (the )?database file", re.DOTALL)

# What a sync adds to the advice: it need not read its rows again.
ROWS_ARE_SAFE = "rows that were read are safe in the landing folder, and the next sync loads them."


def unopened(text: str, path: Path, version: str, *, for_sync: bool = False) -> WarehouseError | None:
    """The error for a message of DuckDB `version`; None if the message is unknown."""
    if "Could not set lock" in text:
        holder = re.search(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)", text)
        who = f"{holder['program']} (process {holder['pid']})" if holder else "another process"
        then = f"; {ROWS_ARE_SAFE}" if for_sync else ", then try again."
        return WarehouseLockedError(
            f"The warehouse {path} is held by {who}. Close it there{then}",
            holder=who,
        )
    if "different configuration" in text:
        return WarehouseLockedError(
            f"The warehouse {path} is already open in this process, by other means than image-history. Close "
            "that connection first.",
            holder="this process",
        )
    if "not a valid DuckDB database" in text:
        return WarehouseError(
            f"{path} is not a DuckDB database. Name another file with --warehouse, or move that one away."
        )
    if _OTHER_LOG.search(text):
        return WarehouseError(
            f"The log {path}.wal does not belong to the file {path}: it was left by a file that a copy has replaced, "
            f"or by a newer state of it. If you restored a copy, move {path}.wal away and run this again; if not, "
            "put back the file that the log belongs to. Nothing was changed."
        )
    if "read versions between" in text or "newer version of DuckDB" in text:
        return WarehouseError(
            f"{path} was written by a version of DuckDB that {version} cannot read: upgrade duckdb."
        )
    return None


def unusable(path: Path, problem: str) -> WarehouseError:
    """The error for a file that cannot be opened or made."""
    return WarehouseError(
        f"Cannot open the warehouse {path}: {problem}. "
        "Check that its folder exists and is writable, or name another file with --warehouse."
    )
