"""What a lake has to do so that tables can be published there, and the values that travel between it and tables.py.

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
# What begins the name of every data file that we write.
OUR_FILES = "image-history-"
_OUR_FILE = re.compile(rf"{OUR_FILES}[0-9a-f]{{8}}(?:-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}\.parquet")


def is_our_file(name: str) -> bool:
    """Whether a data file has a name as only we make them: upkeep removes no other."""
    return _OUR_FILE.fullmatch(name) is not None


class ConflictError(ConnectorError):
    """Another commit came first: what was read of the table is old, and nothing was committed."""


class Part(Struct, frozen=True, array_like=True):
    """The rows of one region as the warehouse had them. The fingerprint is empty where rows are only appended."""

    region: str | None
    rows: int
    fingerprint: str = ""


class State(Struct, frozen=True):
    """What a table says of one writer's rows: of which sync they are, in which shape, and each region's.

    `as_of_ms` (UTC epoch milliseconds) is when that sync was loaded. `warehouse_id` is whose sync it was; empty in
    what was written before commits named it.
    """

    run_id: str
    as_of_ms: int
    shape: str
    parts: tuple[Part, ...]
    warehouse_id: str = ""

    def of(self, region: str | None) -> Part | None:
        """What it says of one region."""
        return next((part for part in self.parts if part.region == region), None)


@dataclass(frozen=True, slots=True)
class DataFile:
    """One file of a table. `rows` is -1 where others deleted rows of it; `native` is the format's own value."""

    region: str | None
    path: str
    rows: int
    bytes: int
    native: Any = field(compare=False, default=None)


@dataclass(frozen=True, slots=True)
class Found:
    """A table as it is now. `owner` is the id of the warehouse that fills it, or its partition.

    What was written before warehouses had ids names the warehouse's first sync instead.
    `version` names the commit: a snapshot's id or a version's number; empty for a table that is not there.
    `append_only` says that no row of it may be taken away.
    """

    version: str = ""
    state: State | None = None
    owner: str | None = None
    append_only: bool = False


class Table(Protocol):
    """One table of a lake, for one writer. What it refuses is an OutputError, after which readers see what they saw.

    `state` comes first; a commit is refused with a ConflictError if the table changed since.
    """

    def state(self) -> Found:
        """What the table says of this writer's rows now; refuses one that cannot be committed to."""

    def files(self) -> Sequence[DataFile]:
        """The files that hold this writer's rows, as of the `state`."""

    def require_place(self) -> None:
        """Refuse a place of this machine that cannot be written, or made. After the `state`; writes nothing."""

    def require_columns(self, columns: pa.Schema) -> None:
        """Refuse a table that cannot take rows of these columns. After the `state`; writes nothing."""

    def ensure(self, columns: pa.Schema, owner: str) -> None:
        """Make the table, or add the columns that it lacks; it names its owner at the latest with the next commit."""

    def write(self, region: str | None, rows: Rows) -> DataFile:
        """Write a file that no reader sees yet."""

    def replace(self, files: Sequence[DataFile], gone: Sequence[DataFile], state: State) -> str:
        """Let files take the place of others in one commit; returns its version."""

    def append(self, files: Sequence[DataFile], state: State) -> str:
        """Add files in one commit; returns its version."""

    def discard(self, files: Sequence[DataFile]) -> None:
        """Remove files that were written and never committed; what cannot be removed is swept later."""

    def upkeep(self, keep_for: timedelta) -> None:
        """Forget versions that are older, and remove what no version names and is older than a day."""


class Lake(Protocol):
    """A catalog's namespace, or a folder of tables."""

    def table(self, name: str, label: str | None) -> Table:
        """A table by its name, for the writer of that label."""


@contextmanager
def gone_on_failure(remove: Callable[[], object]) -> Iterator[None]:
    """Remove a file that could not be written whole, if that is possible; else upkeep does."""
    try:
        yield
    except BaseException:
        with suppress(OSError):
            remove()
        raise


def encoded(state: State, label: str | None) -> Mapping[str, str]:
    """What a commit carries: the whole state for us, the run and the label for people who query commits."""
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
    """What a table of these columns is partitioned by."""
    wanted = (REGION_COLUMN,) if label is None else (SOURCE_COLUMN, REGION_COLUMN)
    return tuple(name for name in wanted if name in columns)


def shape_of(columns: pa.Schema, writer: int) -> str:
    """Tells tables apart whose files would be written differently."""
    text = f"{writer} {columns.to_string(show_field_metadata=False)}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
