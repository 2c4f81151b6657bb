"""The process that answers queries: one after another, each with the warehouse opened for it alone.

Started by `answerers`; ends when the asking process ends, after ten idle minutes, or when a query made it too large.
Must not know the command line, nor how an answer is printed. The program's own statements are not run here.
"""

from __future__ import annotations

import os
import pickle
import queue
import resource
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa

from image_history.durable.effects import Effect, fault_point
from image_history.errors import ConnectorError, QueryError, WarehouseLockedError
from image_history.warehouse.limits import Limits
from image_history.warehouse.messages import (
    GRACE_SECONDS,
    Answered,
    Began,
    Failed,
    GaveWay,
    Message,
    Request,
    encoded,
    receive,
    send,
)
from image_history.warehouse.refusals import (
    READING,
    bound,
    called,
    explained,
    first_word,
    greedy,
    overtime,
    refusal,
    require_harmless,
    require_reading,
)
from image_history.warehouse.saved import Question
from image_history.warehouse.spool import Spool
from image_history.warehouse.turns import is_wanted
from image_history.warehouse.warehouse import DUCKDB_VERSION, Connection, EngineError, WarehouseFile, tokens

T = TypeVar("T")
Say = Callable[..., None]

_BATCH_ROWS = 10_000
_POLL_SECONDS = 0.05
_IDLE_SECONDS = 600.0
_STATUS = Path("/proc/self/status")
# A process that grew by more than this during a query is not kept.
_MOST_GROWN_BYTES = 512 << 20
# An error inside a stream is raised as one of pyarrow's, with DuckDB's text.
_FAILURES = (EngineError, pa.ArrowException, OSError, MemoryError, RuntimeError)


def main() -> None:
    """Answer the queries from stdin, until it is closed or no query comes for `_IDLE_SECONDS`."""
    # A core file would hold the warehouse's rows.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    requests, say = _requests(0), _voice()
    while True:
        try:
            said = requests.get(timeout=_IDLE_SECONDS)
        except queue.Empty:
            os._exit(0)
        _answer(said, say)


def _requests(descriptor: int) -> queue.SimpleQueue[bytearray]:
    """A queue of the requests. This process ends as soon as the asking process does, even during a query."""
    requests: queue.SimpleQueue[bytearray] = queue.SimpleQueue()

    def listen() -> None:
        while True:
            try:
                requests.put(receive(descriptor, lambda: None)[0])
            except (EOFError, OSError):
                os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return requests


def _voice() -> Say:
    """The function that sends messages to the asking process.

    Stdout and stderr go to /dev/null, so that output of DuckDB reaches neither the pipe nor the terminal; tracebacks
    still reach the terminal.
    """
    pipe, sys.stderr = os.fdopen(os.dup(1), "wb"), os.fdopen(os.dup(2), "w")
    nothing = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nothing, descriptor)

    def say(message: Message, body: bytes | memoryview = b"") -> None:
        try:
            send(pipe, encoded(message), body)
        except OSError:
            os._exit(0)

    return say


def _answer(said: bytearray, say: Say) -> None:
    before = _bound_memory()
    try:
        request = _request(said)
        _bound_memory(2 * request.limits.memory_bytes)
        if request.here is not None:
            os.chdir(request.here)
        spool = _answered(request, say)
    except ConnectorError as error:
        say(_failed(error))
    except MemoryError:
        say(_failed(greedy()))
    else:
        ends = _bound_memory() - before > _MOST_GROWN_BYTES
        say(Answered(spool.in_file, ends), spool.body())
        if ends:
            os._exit(0)


def _request(said: bytearray) -> Request:
    try:
        # The data comes only from the process that started this one.
        request: Request = pickle.loads(said)  # noqa: S301
    except (AttributeError, ImportError, pickle.UnpicklingError) as error:
        raise QueryError(f"A parameter's value has a type that SQL does not know: {error}.") from error
    return request


def _failed(error: ConnectorError, *, ends: bool = False) -> Failed:
    holder = error.context.get("holder")
    return Failed(type(error).__name__, error.message, None if holder is None else str(holder), ends)


def _bound_memory(more_bytes: int | None = None) -> int:
    """Let this process grow by `more_bytes` at most, without a limit if None; returns its size, 0 if unknown.

    DuckDB's own limit leaves out the memory of a single value. The size is known, and limited, only on Linux.
    """
    if not _STATUS.exists():
        return 0
    lines = _STATUS.read_text(encoding="ascii").splitlines()
    size = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmData"))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = most if more_bytes is None else size + more_bytes
    soft = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
    resource.setrlimit(resource.RLIMIT_DATA, (soft, most))
    return size


def _answered(request: Request, say: Say) -> Spool:
    limits, folder = request.limits, request.spill_folder
    warehouse = WarehouseFile(request.path, request.lock_wait_seconds)

    def abandon(error: BaseException) -> None:
        failure = error if isinstance(error, ConnectorError) else QueryError("The query does not end.")
        say(_failed(failure, ends=True))
        os._exit(0)

    for attempt in range(1, limits.attempts + 1):
        with warehouse.reading(settings=limits.settings(folder)) as connection:
            connection.run("session/lock_settings")
            say(Began())
            running = _RunningQuery(connection, limits, partial(is_wanted, warehouse.file), abandon)
            try:
                return running.collected(request.question, folder)
            except WarehouseLockedError:
                if attempt == limits.attempts:
                    raise
        say(GaveWay(attempt))
    raise AssertionError("a query is run once at least")


class _RunningQuery:
    """One query while it is answered: DuckDB works on a thread, so that the wait for it can be ended."""

    def __init__(
        self,
        connection: Connection,
        limits: Limits,
        is_wanted: Callable[[], bool],
        abandon: Callable[[BaseException], None],
    ) -> None:
        self._connection = connection
        self._limits = limits
        self._is_wanted = is_wanted
        self._abandon = abandon
        self._until = time.monotonic() + limits.timeout.total_seconds()
        self._courtesy_until: float | None = None
        self._worker = ThreadPoolExecutor(1, "query")
        self._ahead: Future[Any] | None = None
        self._reader: pa.RecordBatchReader | None = None
        self._sql = ""

    def collected(self, question: Question, folder: str) -> Spool:
        """The whole answer; DuckDB has stopped when this returns or raises.

        WarehouseLockedError if a writer waited for the file before the answer was complete.
        """
        self._sql = question.sql
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
        """The values to bind. Raises QueryError unless the query is one statement that only reads."""
        try:
            question.sql.encode()
            statements = self._connection.duck.extract_statements(question.sql)
        except UnicodeEncodeError as error:
            raise QueryError("The query is not valid text: it has half of a surrogate pair.") from error
        except EngineError as error:
            # DuckDB 1.5 runs a part of some statements while it parses them.
            if "Parser Error" not in str(error) and first_word(question.sql) not in READING:
                raise refusal(first_word(question.sql)) from error
            raise explained(str(error), {}) from error
        require_reading(question.sql, statements)
        if names := called(question.sql, tokens(question.sql)):
            require_harmless(names, _doers(self._connection))
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
            raise explained(str(error) or "Out of Memory", self._relations(), self._sql) from error

    def _require_time(self) -> None:
        """QueryError after `timeout`, WarehouseLockedError if a writer has waited for `courtesy_seconds`."""
        now = time.monotonic()
        if now > self._until:
            raise overtime(self._limits.timeout)
        if not self._is_wanted():
            self._courtesy_until = None
        elif self._courtesy_until is None:
            self._courtesy_until = now + self._limits.courtesy_seconds
        elif now > self._courtesy_until:
            raise WarehouseLockedError(
                "The query was stopped for a sync that had to load, and its retries too: ask for less, or query when "
                "no sync runs.",
                holder="a sync",
            )

    def _relations(self) -> Mapping[str, list[str]]:
        """Tables and views with their columns; empty if the connection does not work any more."""
        relations: dict[str, list[str]] = {}
        try:
            for row in self._connection.table("session/relations").to_pylist():
                relations.setdefault(row["table_name"], []).append(row["column_name"])
        except _FAILURES:
            return {}
        return relations

    def _end(self, error: BaseException | None) -> None:
        """Stop DuckDB if it is still working: closing the connection would wait for it."""
        if not self._stopped():
            self._abandon(error or QueryError("The query does not end."))
        self._worker.shutdown()
        if self._reader is not None:
            self._reader.close()

    def _stopped(self) -> bool:
        """Interrupt DuckDB until it stops; False if it does not.

        One interrupt is not enough: it has no effect before the work has begun.
        """
        work, until = self._ahead, time.monotonic() + GRACE_SECONDS
        while work is not None and not (work.cancel() or work.done()):
            if time.monotonic() > until:
                return False
            self._connection.duck.interrupt()
            wait_for([work], _POLL_SECONDS)
        return True


# The same for every query, and slow to list.
_DOERS: set[str] = set()


def _doers(connection: Connection) -> set[str]:
    if not _DOERS:
        _DOERS.update(connection.table("session/doers")["function_name"].to_pylist())
    return _DOERS


def reader(connection: Connection, sql: str, parameters: Mapping[str, object]) -> pa.RecordBatchReader:
    """Start a query with the call that streams its rows, which differs between DuckDB 1 and 2."""
    fault_point(Effect.STATEMENT, "question")
    if DUCKDB_VERSION.startswith("1."):
        return connection.duck.execute(sql, parameters).to_arrow_reader(_BATCH_ROWS)
    return connection.duck.sql(sql, params=parameters).to_arrow_reader(_BATCH_ROWS)
