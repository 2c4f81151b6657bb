"""What DuckDB's complaints mean when a file cannot be opened: each becomes one sentence that says what to do.

Pure: takes messages as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from image_history.errors import WarehouseError, WarehouseLockedError

# DuckDB says it in one way of a log that is too old or too new, and in another of one that is of another file.
_OTHER_LOG = re.compile(r"WAL.*does not match (the )?database file", re.DOTALL)


def unopened(text: str, path: Path, version: str) -> WarehouseError | None:
    """The error for a message of DuckDB's, of that version; None if it says nothing that we know."""
    if "Could not set lock" in text:
        holder = re.search(r"held in (?P<program>.+?) \(PID (?P<pid>\d+)\)", text)
        who = f"{holder['program']} (process {holder['pid']})" if holder else "another process"
        return WarehouseLockedError(
            f"The warehouse {path} is held by {who}. Close it there; rows that were read are safe in the "
            "landing folder, and the next sync loads them.",
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
            f"The log {path}.wal is not of the file {path}: it was left by the one that a copy has replaced, or by a "
            f"newer state of it. If you put a copy in its place, move {path}.wal away and run this again; if not, "
            "put back the file that the log belongs to. Nothing was changed."
        )
    if "read versions between" in text or "newer version of DuckDB" in text:
        return WarehouseError(
            f"{path} was written by a DuckDB whose files {version} cannot read: upgrade duckdb."
        )
    return None


def unusable(path: Path, problem: str) -> WarehouseError:
    """The error of a file that cannot be opened or made."""
    return WarehouseError(
        f"Cannot open the warehouse {path}: {problem}. "
        "Check that its folder exists and is writable, or name another file with --warehouse."
    )
