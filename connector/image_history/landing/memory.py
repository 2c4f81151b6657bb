"""A copy of what the warehouse knows of its streams, for planning while another program holds the warehouse.

The copy may be older than the warehouse, or missing if it could not be written; then listings only read more than
necessary. Must not know the warehouse.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from image_history.durable.effects import File
from image_history.errors import LandingError
from image_history.hints.heard import Heard
from image_history.landing.files import checksum, noted, parquet, read_whole, write_whole
from image_history.landing.mark import KNOWN, Mark
from image_history.landing.plan import Load

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LedTo:
    """The account that a profile, role or chain of credentials led to in a region."""

    access: str
    region: str
    account_id: str


@dataclass(frozen=True, slots=True)
class Memory:
    """What the copy was made from: the warehouse, the newest loaded run, and the account of each identity.

    `loaded_ms` is UTC epoch milliseconds; a copy of an earlier version lacks it. `heard` says since when the hints of
    each scope are heard without a gap.
    """

    warehouse_id: str
    newest_run: str | None
    accounts: tuple[LedTo, ...] = ()
    loaded_ms: int | None = None
    heard: tuple[Heard, ...] = ()

    @property
    def newest(self) -> Load | None:
        """The newest load that the landing saw; None if there was none."""
        return None if self.newest_run is None else Load(self.newest_run, self.loaded_ms or 0)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """The metadata of known-streams.parquet: the checksum of its rows, and what they are a copy of."""

    rows: str
    memory: Memory


def remember(folder: Path, streams: pa.Table, memory: Memory) -> bool:
    """Write the copy, and return whether that succeeded; an error is logged."""
    note = _Remembered(_rows_checksum(streams), memory)
    try:
        write_whole(folder / KNOWN, parquet(streams, note), File.KNOWN)
    except LandingError as error:
        logger.warning("streams_not_remembered", extra={"reason": str(error)})
        return False
    return True


def remembered(folder: Path, mark: Mark) -> tuple[pa.Table, Memory] | None:
    """The copy, if it belongs to this warehouse; None if it is missing or damaged."""
    path = folder / KNOWN
    try:
        content = read_whole(path)
        streams = pq.read_table(pa.BufferReader(content))
        note = noted(content, _Remembered, path)
        # A damaged name, which is not UTF-8 any more, raises here at the earliest.
        rows = _rows_checksum(streams)
    except (LandingError, OSError, ValueError, pa.ArrowException):
        return None
    fits = (note.rows, note.memory.warehouse_id) == (rows, mark.warehouse_id)
    return (streams, note.memory) if fits else None


def _rows_checksum(table: pa.Table) -> str:
    return checksum(msgspec.json.encode(table.to_pylist()))
