"""The interface of a lake in which tables are published, and the values that it exchanges with tables.py.

Must not know any format, nor when something is published.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
from msgspec import Struct

from image_history.errors import ConnectorError

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.formats import Rows

SOURCE_COLUMN = "source"
REGION_COLUMN = "region"
# Keys in the commit itself (Iceberg: snapshot summary, Delta: commitInfo), and of a table's properties.
STATE = "image-history.state"
LABEL = "image-history.label"
RUN_ID = "image-history.run-id"
OWNER = "image-history.owner"
# The prefix of the name of every data file that we write.
OUR_FILES = "image-history-"
_OUR_FILE = re.compile(rf"{OUR_FILES}[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\.parquet")


def is_our_file(name: str) -> bool:
    """Whether a data file has a name of the form that only we use: upkeep removes no other files."""
    return _OUR_FILE.fullmatch(name) is not None


class ConflictError(ConnectorError):
    """Another commit came first: the table has changed since it was read, and nothing was committed."""


class Part(Struct, frozen=True, array_like=True):
    """The rows of one region as they were in the warehouse. The fingerprint is empty if rows are only appended."""

    region: str | None
    rows: int
    fingerprint: str = ""


class State(Struct, frozen=True):
    """A table's record of one writer's rows: the sync that they come from, their shape, and the parts by region.

    `as_of_ms` (UTC epoch milliseconds) is when that sync was loaded. `warehouse_id` names the warehouse of the sync;
    it is empty in commits that were made before commits named it.
    """

    run_id: str
    as_of_ms: int
    shape: str
    parts: tuple[Part, ...]
    warehouse_id: str = ""

    def of(self, region: str | None) -> Part | None:
        """The part of one region; None if there is none."""
        return next((part for part in self.parts if part.region == region), None)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a table. `rows` is -1 if it is unknown or others deleted rows; `native` is the library's value."""

    region: str | None
    path: str
    rows: int
    bytes: int
    native: Any = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Found:
    """A table as it is now. `owner` is the id of the warehouse that fills the table, or this writer's partition.

    A table that was written before warehouses had ids names the warehouse's first sync instead.
    `version` names the commit: a snapshot's id or a version's number; empty if the table does not exist.
    `append_only` says that rows may be added but not removed.
    """

    version: str = ""
    state: State | None = None
    owner: str | None = None
    append_only: bool = False


class Table(Protocol):
    """One table of a lake, for one writer. A refusal is an OutputError, after which readers see the same as before.

    Call `state` first; a commit raises ConflictError if the table has changed since then.
    """

    def state(self) -> Found:
        """Read the table and its record of this writer's rows; refuse a table that cannot be committed to."""

    def files(self) -> Sequence[DataFile]:
        """The files that hold this writer's rows, as of the `state`."""

    def require_place(self) -> None:
        """Refuse a local folder that cannot be written or made. Call it after `state`; writes nothing."""

    def require_columns(self, columns: pa.Schema) -> None:
        """Refuse a table that cannot take rows with these columns. Call it after `state`; writes nothing."""

    def ensure(self, columns: pa.Schema, owner: str) -> None:
        """Create the table, or add missing columns; the next commit records the owner at the latest."""

    def write(self, region: str | None, rows: Rows) -> DataFile:
        """Write a file that readers do not see yet."""

    def replace(self, files: Sequence[DataFile], gone: Sequence[DataFile], state: State) -> str:
        """Replace files by others in one commit; returns its version."""

    def append(self, files: Sequence[DataFile], state: State) -> str:
        """Add files in one commit; returns its version."""

    def discard(self, files: Sequence[DataFile]) -> None:
        """Remove files that were written and never committed; upkeep removes those that remain."""

    def upkeep(self, keep_for: timedelta) -> None:
        """Expire versions older than `keep_for`; remove files older than a day that no version refers to."""


class Lake(Protocol):
    """A catalog's namespace, or a folder of tables."""

    def table(self, name: str, label: str | None) -> Table:
        """The table of that name, for the writer with that label."""


@contextmanager
def gone_on_failure(remove: Callable[[], object]) -> Iterator[None]:
    """Remove a file that could not be written completely; if that fails, upkeep removes it later."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove()
        raise


def encoded(state: State, label: str | None) -> Mapping[str, str]:
    """The properties of a commit: the whole state for us, the run and the label for people who query commits."""
    return {
        LABEL: label or "",
        RUN_ID: state.run_id,
        STATE: msgspec.json.encode(state).decode(),
    }


def decoded(properties: Mapping[str, Any], label: str | None) -> State | None:
    """The state in a commit's properties; None if it is another writer's, another program's, or damaged."""
    text = properties.get(STATE)
    if not isinstance(text, str) or properties.get(LABEL, "") != (label or ""):
        return None
    try:
        return msgspec.json.decode(text, type=State)
    except (msgspec.DecodeError, UnicodeError):
        return None


def owner_key(label: str | None) -> str:
    """The table's property that names the warehouse of one writer."""
    return f"{OWNER}.{label}" if label else OWNER


def partition_columns(columns: Sequence[str], label: str | None) -> tuple[str, ...]:
    """The columns by which a table with these columns is partitioned."""
    wanted = (REGION_COLUMN,) if label is None else (SOURCE_COLUMN, REGION_COLUMN)
    return tuple(name for name in wanted if name in columns)


def shape_of(columns: pa.Schema, writer: int) -> str:
    """A hash that differs between tables whose files would be written differently."""
    text = f"{writer} {columns.to_string(show_field_metadata=False)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
