"""Answers a stranger's SQL: read-only, locked down, bounded in time and memory, out of a writer's way.

Must not know the command line, nor how an answer is printed. The warehouse's own statements don't pass here.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from image_history.config import format_duration
from image_history.durable.disk import remove_tree
from image_history.durable.effects import Effect, File, reach
from image_history.errors import OutputError, QueryError, WarehouseLockedError
from image_history.warehouse.refusals import READING, bound, explained, first_word, refusal, require_reading
from image_history.warehouse.saved import Question
from image_history.warehouse.spool import Spool
from image_history.warehouse.turns import is_wanted
from image_history.warehouse.warehouse import DUCKDB_VERSION, Connection, EngineError, WarehouseFile

logger = logging.getLogger(__name__)

T = TypeVar("T")

_MEBIBYTE = 1 << 20
_BATCH_ROWS = 10_000
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.05
# What a query that is nearly done gets from who waits; well below lock_wait and the patience of planning.
_COURTESY_SECONDS = 0.5
_ATTEMPTS = 5
# An error inside a stream reaches us as one of pyarrow's, with DuckDB's text.
_FAILURES = (EngineError, pa.ArrowException, OSError, MemoryError, RuntimeError)
_SWITCHED_OFF = dict.fromkeys(
    (
        "enable_external_access",
        "autoinstall_known_extensions",
        "autoload_known_extensions",
        "allow_community_extensions",
        "allow_unsigned_extensions",
        "python_enable_replacements",
    ),
    "false",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one query may cost. `timeout` counts DuckDB's time, anew when it is asked again after a load.

    Reading ends once `rows` are there; None is all. `spill_bytes` bounds DuckDB's files and, apart, the answer.
    `abandon` is called when a query goes on although it was interrupted; it must not return. Without it the
    query is waited for.
    """

    timeout: timedelta = timedelta(minutes=5)
    rows: int | None = None
    memory_bytes: int = 1024 * _MEBIBYTE
    spill_bytes: int = 8 * 1024 * _MEBIBYTE
    threads: int = field(default_factory=lambda: min(4, os.cpu_count() or 1))
    abandon: Callable[[BaseException], object] | None = None

    def settings(self, spill_folder: str) -> Mapping[str, str]:
        """DuckDB's settings for such a query."""
        return _SWITCHED_OFF | {
            "memory_limit": f"{self.memory_bytes // _MEBIBYTE}MiB",
            "max_temp_directory_size": f"{self.spill_bytes // _MEBIBYTE}MiB",
            "temp_directory": spill_folder,
            "threads": str(self.threads),
        }


class Answer:
    """The rows of a query, readable once; instants are UTC. The warehouse is closed already."""

    def __init__(self, spool: Spool) -> None:
        self.schema = spool.schema
        self._batches = iter(spool)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches


@contextmanager
def asking(warehouse: WarehouseFile, question: Question, limits: Limits | None = None) -> Iterator[Answer]:
    """Ask one question that only reads; its answer can be read inside the block.

    The warehouse is open only while DuckDB works. A sync that waits for it is let in: the query is stopped
    and asked again afterwards, a few times at most. Raises QueryError for what is refused, wrong, too long
    or too large, and WarehouseError as `reading` does.
    """
    allowed = limits or Limits()
    with spill_folder() as folder:
        abandon = _clearing(folder, allowed.abandon)
        yield Answer(_answered(warehouse, question, replace(allowed, abandon=abandon), folder))


def _answered(warehouse: WarehouseFile, question: Question, limits: Limits, folder: str) -> Spool:
    attempt = 1
    while True:
        with warehouse.reading(settings=limits.settings(folder)) as connection:
            connection.run("session/lock_settings")
            asked = _Asked(connection, limits, partial(is_wanted, warehouse.file))
            try:
                return asked.collected(question, folder)
            except WarehouseLockedError:
                if attempt == _ATTEMPTS:
                    raise
        logger.info("query_gave_way", extra={"attempt": attempt})
        attempt += 1


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


def _clearing(
    folder: str, abandon: Callable[[BaseException], object] | None
) -> Callable[[BaseException], object] | None:
    """`abandon`, which ends the process, after removing what would be left behind."""
    if abandon is None:
        return None

    def clear_and_abandon(error: BaseException) -> None:
        remove_tree(Path(folder), File.SPILL, ignore_errors=True)
        abandon(error)

    return clear_and_abandon


class _Asked:
    """One question while it is answered: DuckDB works on a thread, so that waiting for it can end."""

    def __init__(self, connection: Connection, limits: Limits, is_wanted: Callable[[], bool]) -> None:
        self._connection = connection
        self._limits = limits
        self._is_wanted = is_wanted
        self._until = time.monotonic() + limits.timeout.total_seconds()
        self._courtesy_until: float | None = None
        self._worker = ThreadPoolExecutor(1, "query")
        self._ahead: Future[Any] | None = None
        self._reader: pa.RecordBatchReader | None = None

    def collected(self, question: Question, folder: str) -> Spool:
        """The whole answer; nothing runs any more afterwards, whatever happens.

        WarehouseLockedError if a writer wanted the file before it was complete.
        """
        parameters = self._checked(question)
        try:
            self._reader = self._wait(self._later(reader, self._connection, question.sql, parameters))
            spool = Spool(self._reader.schema, folder, most_bytes=self._limits.spill_bytes)
            self._collect(self._reader, spool)
            self._end(None)
        except BaseException as error:
            self._end(error)
            raise
        return spool

    def _collect(self, source: pa.RecordBatchReader, spool: Spool) -> None:
        left = self._limits.rows
        with closing(spool):
            while left is None or left > 0:
                batch = self._wait(self._later(next, source, None))
                if batch is None:
                    return
                spool.add(batch)
                self._require_time()
                left = None if left is None else left - batch.num_rows

    def _checked(self, question: Question) -> Mapping[str, object]:
        """The values to bind. Raises QueryError for what is not one statement that reads."""
        try:
            statements = self._connection.duck.extract_statements(question.sql)
        except EngineError as error:
            # To look at some statements DuckDB 1.5 already runs a part of them.
            if "Parser Error" not in str(error) and first_word(question.sql) not in READING:
                raise refusal(first_word(question.sql)) from error
            raise explained(str(error), {}) from error
        require_reading(question.sql, statements)
        return bound(question.parameters, statements[0].named_parameters)

    def _later(self, work: Callable[..., T], *arguments: Any) -> Future[T]:
        future = self._worker.submit(work, *arguments)
        self._ahead = future
        return future

    def _wait(self, future: Future[T]) -> T:
        try:
            while not future.done():
                wait_for([future], _POLL_SECONDS)
                if not future.done():
                    self._require_time()
            return future.result()
        except _FAILURES as error:
            raise explained(str(error) or "Out of Memory", self._relations()) from error

    def _require_time(self) -> None:
        """QueryError if the time is over, WarehouseLockedError if a writer has been waiting for long enough."""
        now = time.monotonic()
        if now > self._until:
            raise QueryError(
                f"The query was stopped after {format_duration(self._limits.timeout)}: ask for less, or "
                "give it more time with --timeout."
            )
        if not self._is_wanted():
            self._courtesy_until = None
        elif self._courtesy_until is None:
            self._courtesy_until = now + _COURTESY_SECONDS
        elif now > self._courtesy_until:
            raise WarehouseLockedError(
                "The query was stopped for a sync that had to load, and asking again did not help: ask for less, "
                "or when no sync runs.",
                holder="a sync",
            )

    def _relations(self) -> Mapping[str, list[str]]:
        """Tables and views with their columns; none if the failure took the connection with it."""
        relations: dict[str, list[str]] = {}
        try:
            for row in self._connection.table("session/relations").to_pylist():
                relations.setdefault(row["table_name"], []).append(row["column_name"])
        except _FAILURES:
            return {}
        return relations

    def _end(self, error: BaseException | None) -> None:
        """Stop DuckDB if it still works; closing the connection would wait for it."""
        if not self._stopped() and self._limits.abandon is not None:
            self._limits.abandon(error or QueryError("The query does not end."))
        self._worker.shutdown()
        if self._reader is not None:
            self._reader.close()

    def _stopped(self) -> bool:
        """Interrupt until nothing runs: an interrupt that comes before the work it is for is lost."""
        work, until = self._ahead, time.monotonic() + _GRACE_SECONDS
        while work is not None and not (work.cancel() or work.done()):
            if time.monotonic() > until:
                return False
            self._connection.duck.interrupt()
            wait_for([work], _POLL_SECONDS)
        return True


def reader(connection: Connection, sql: str, parameters: Mapping[str, object]) -> pa.RecordBatchReader:
    """Start the query by the one call that streams it: that differs between DuckDB's lines."""
    reach(Effect.STATEMENT, "question")
    if DUCKDB_VERSION.startswith("1."):
        return connection.duck.execute(sql, parameters).to_arrow_reader(_BATCH_ROWS)
    return connection.duck.sql(sql, params=parameters).to_arrow_reader(_BATCH_ROWS)
