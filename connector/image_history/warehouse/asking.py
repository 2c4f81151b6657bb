"""Asks a stranger's SQL: read-only, locked down, bounded in time and memory, out of a writer's way.

The question runs in a process of its own. Must not know the command line, nor how an answer is printed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from image_history import errors
from image_history.durable.effects import Effect, File, reach
from image_history.errors import ConnectorError, OutputError
from image_history.warehouse import answerers
from image_history.warehouse.limits import Limits
from image_history.warehouse.messages import Failed, Request

if TYPE_CHECKING:
    import pyarrow as pa

    from image_history.warehouse.saved import Question
    from image_history.warehouse.spool import Spooled

__all__ = ["Answer", "Askable", "Asked", "Limits", "asking", "spill_folder"]


class Askable(Protocol):
    """Where a warehouse is; `lock_wait_seconds` bounds the wait for other users of it."""

    @property
    def path(self) -> Path:
        """The file."""

    @property
    def lock_wait_seconds(self) -> float:
        """At the longest."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A place, for those who have no use for DuckDB in their own process. A process to answer starts at once."""

    path: Path
    lock_wait_seconds: float = 30.0

    def __post_init__(self) -> None:
        answerers.prepare()


class Answer:
    """The rows of a query, readable once; instants are UTC. The warehouse is closed already."""

    def __init__(self, rows: Spooled) -> None:
        self.schema = rows.schema
        self._batches = iter(rows)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches


@contextmanager
def asking(warehouse: Askable, question: Question, limits: Limits | None = None) -> Iterator[Answer]:
    """Ask one question that only reads; its answer can be read inside the block.

    The warehouse is open only while DuckDB works, in another process. A sync that waits for it is let in: the query
    is stopped and repeated afterwards, a few times at most. Raises QueryError for what is refused, wrong, too long
    or too large, or what DuckDB dies of, and WarehouseError as `reading` does.
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
    """What the process raised, once more."""
    context = {} if failed.holder is None else {"holder": failed.holder}
    raised: ConnectorError = getattr(errors, failed.kind)(failed.message, **context)
    return raised


@contextmanager
def spill_folder() -> Iterator[str]:
    """A folder for what doesn't fit into memory. OutputError if there can be none."""
    try:
        reach(Effect.MAKE_FOLDER, File.SPILL)
        folder = tempfile.TemporaryDirectory(prefix="image-history-", ignore_cleanup_errors=True)
    except OSError as error:
        raise OutputError(
            f"Cannot make a folder for large answers: {error.strerror or error}. "
            "Name one with room in the environment variable TMPDIR."
        ) from error
    with folder as path:
        yield path
