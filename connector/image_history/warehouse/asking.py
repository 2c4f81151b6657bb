"""Runs a user's SQL: read-only, locked down, limited in time and memory, and stopped when a writer waits.

The query runs in a process of its own. Must not know the command line, nor how an answer is printed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from image_history import errors
from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import ConnectorError, OutputError
from image_history.warehouse import answerers
from image_history.warehouse.limits import Limits
from image_history.warehouse.messages import Failed, Request

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.warehouse.saved import Question
    from image_history.warehouse.spool import Spooled

__all__ = ["Answer", "Askable", "Limits", "QueriedWarehouse", "asking", "spill_folder"]


class Askable(Protocol):
    """Where a warehouse is; `lock_wait_seconds` limits the wait for its other users."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def lock_wait_seconds(self) -> float:
        """The longest wait for the file."""


@dataclass(frozen=True, slots=True)
class QueriedWarehouse:
    """A warehouse to query without DuckDB in this process. Making one starts the answering process at once."""

    path: Path
    lock_wait_seconds: float = 30.0

    def __post_init__(self) -> None:
        answerers.prepare()


class Answer:
    """The rows of a query, readable once; instants are in UTC. The warehouse is closed already."""

    def __init__(self, rows: Spooled) -> None:
        self.schema = rows.schema
        self._batches = iter(rows)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches


@contextmanager
def asking(warehouse: Askable, question: Question, limits: Limits | None = None) -> Iterator[Answer]:
    """Run one query that only reads; its answer can be read inside the block.

    The warehouse is open only while DuckDB works, in another process. If a sync waits for the file, the query is
    stopped and repeated after the load, a few times at most. Raises QueryError for a query that is refused, wrong,
    too long, too large or crashes DuckDB, and WarehouseError as `reading` does.
    """
    with spill_folder() as folder:
        request = Request(
            path=warehouse.path,
            here=_here(),
            lock_wait_seconds=warehouse.lock_wait_seconds,
            question=question,
            limits=limits or Limits(),
            spill_folder=folder,
        )
        reply, body = answerers.answered(request)
        if isinstance(reply, Failed):
            raise _error(reply)
        from image_history.warehouse.spool import Spooled

        yield Answer(Spooled(body, folder if reply.in_file else None))


def _here() -> str | None:
    """The working folder; None if it was removed."""
    try:
        return str(Path.cwd())
    except OSError:
        return None


def _error(failed: Failed) -> ConnectorError:
    """The error that the answering process raised."""
    context = {} if failed.holder is None else {"holder": failed.holder}
    raised: ConnectorError = getattr(errors, failed.kind)(failed.message, **context)
    return raised


@contextmanager
def spill_folder() -> Iterator[str]:
    """A temporary folder for rows that don't fit into memory. OutputError if it cannot be made."""
    try:
        fault_point(Effect.MAKE_FOLDER, File.SPILL)
        folder = tempfile.TemporaryDirectory(prefix="image-history-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make a folder for large answers: {error.strerror or error}. "
            "Name one with room in the environment variable TMPDIR."
        ) from error
    with folder as path:
        yield path
