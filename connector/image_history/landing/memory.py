"""A copy of what the warehouse knows of its streams, for planning while another program holds it.

It may lag behind the warehouse, or be missing where the disk refused it; that only makes a listing read more than it
must. Must not know the warehouse.
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
    """Of which warehouse something is remembered, after which run's load, and where its credentials led.

    `loaded_ms` is UTC epoch milliseconds; what an earlier version remembered lacks it.
    """

    warehouse_id: str
    newest_run: str | None
    accounts: tuple[LedTo, ...] = ()
    loaded_ms: int | None = None

    @property
    def newest(self) -> Load | None:
        """The newest load that the landing saw; None if there was none."""
        return None if self.newest_run is None else Load(self.newest_run, self.loaded_ms or 0)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """What known-streams.parquet says beside its rows: their checksum, and of what they are a copy."""

    rows: str
    memory: Memory


def remember(folder: Path, streams: pa.Table, memory: Memory) -> None:
    """Write the copy; what the disk refuses is logged."""
    note = _Remembered(_rows_checksum(streams), memory)
    try:
        write_whole(folder / KNOWN, parquet(streams, note), File.KNOWN)
    except LandingError as error:
        logger.warning("streams_not_remembered", extra={"reason": str(error)})


def remembered(folder: Path, mark: Mark) -> tuple[pa.Table, Memory] | None:
    """The copy, if it is of this warehouse; None if there is none, or if it is damaged."""
    path = folder / KNOWN
    try:
        content = read_whole(path)
        streams = pq.read_table(pa.BufferReader(content))
        note = noted(content, _Remembered, path)
        # A name that is no UTF-8 any more shows here at the earliest.
        rows = _rows_checksum(streams)
    except (LandingError, OSError, ValueError, pa.ArrowException):
        return None
    fits = (note.rows, note.memory.warehouse_id) == (rows, mark.warehouse_id)
    return (streams, note.memory) if fits else None


def _rows_checksum(table: pa.Table) -> str:
    return checksum(msgspec.json.encode(table.to_pylist()))
