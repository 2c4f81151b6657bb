"""Starts, keeps and ends the processes that answer queries, for the process that asks.

DuckDB cannot stop some functions, and others crash it, so every query runs in a process of its own. Must not
know DuckDB, nor the query.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import pickle
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from image_history.errors import QueryError, WarehouseLockedError
from image_history.warehouse.messages import (
    GRACE_SECONDS,
    Answered,
    Began,
    Failed,
    GaveWay,
    Request,
    decoded,
    receive,
    send,
)
from image_history.warehouse.refusals import died, overtime

logger = logging.getLogger(__name__)

Reply = tuple[Answered | Failed, bytearray]

# Added to the time after which the process gives up on its own.
_MARGIN_SECONDS = 2.0
# The process is isolated from the environment, and gets this process's import paths: both import the same code.
_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from image_history.warehouse.trimming import trim_process; trim_process(); "
    "from image_history.warehouse.answering import main; main()"
)


class _OverdueError(Exception):
    """The process did not answer, or give up, in time."""


class _DiedError(Exception):
    """The process ended during a query; `began` says whether DuckDB had begun with the query."""

    def __init__(self, code: int, *, began: bool) -> None:
        super().__init__(code)
        self.code = code
        self.began = began


class Answerer:
    """A process that answers one question at a time. QueryError if it cannot be started."""

    def __init__(self) -> None:
        self._process, self._to, self._from = _started()
        self._poll = select.poll()
        self._poll.register(self._from, select.POLLIN)
        self._until: float | None = None

    def ask(self, request: Request) -> Reply:
        """Send a query and return the reply. Raises QueryError, and _DiedError if the process ended without one."""
        said, self._until, began = _pickled(request), None, False
        try:
            send(self._to, said)
            while True:
                head, body = receive(self._from.fileno(), self._wait)
                match decoded(head):
                    case Began():
                        began = True
                        whole = request.limits.timeout.total_seconds() + GRACE_SECONDS + _MARGIN_SECONDS
                        self._until = time.monotonic() + whole
                    case GaveWay(attempt):
                        self._until = None
                        logger.info("query_gave_way", extra={"attempt": attempt})
                    case reply:
                        return reply, body
        except (EOFError, OSError, msgspec.DecodeError) as error:
            raise _DiedError(self.close(kill=not isinstance(error, EOFError)), began=began) from error
        except _OverdueError as error:
            raise overtime(request.limits.timeout) from error

    def close(self, *, kill: bool = True) -> int:
        """End the process, killing it unless `kill` is false; returns its exit code."""
        if kill:
            self._process.kill()
        code = self._process.wait()
        for pipe in (self._to, self._from):
            try:
                pipe.close()
            except OSError:
                # Data for the ended process is dropped.
                continue
        return code

    def forget(self) -> None:
        """Close the pipes in a fork; the process itself stays with the parent, which started it."""
        for pipe in (self._to, self._from):
            os.close(pipe.fileno())

    def _wait(self) -> None:
        left = None if self._until is None else max(0.0, self._until - time.monotonic()) * 1000
        if not self._poll.poll(left):
            raise _OverdueError


def answered(request: Request) -> Reply:
    """The reply to a query, from an idle process or a new one.

    In this process, queries of the same file run one at a time, since each may use the whole memory limit of a query.
    Raises QueryError if the answering process dies or has to be ended, and WarehouseLockedError if other queries took
    too long.
    """
    with _turn(request.path.resolve(), request.lock_wait_seconds):
        kept = _POOL.take()
        if kept is not None:
            try:
                return _said(kept, request)
            except _DiedError as error:
                if error.began:
                    raise died(error.code) from error
        # The idle process may have ended before the query began.
        try:
            return _said(Answerer(), request)
        except _DiedError as error:
            raise died(error.code) from error


def _said(answerer: Answerer, request: Request) -> Reply:
    try:
        reply, body = answerer.ask(request)
    except BaseException:
        answerer.close()
        raise
    if reply.ends:
        answerer.close(kill=False)
    else:
        _POOL.keep(answerer)
    return reply, body


def prepare() -> None:
    """Start the first process in the background, for a query that is sure to come."""
    _POOL.prepare()


class _Pool:
    """The idle process, at most one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._idle: list[Answerer] = []
        self._used = False

    def prepare(self) -> None:
        """Start a process, unless one was started before."""
        with self._guard:
            if not self._used:
                self._used = True
                self._idle.append(Answerer())

    def take(self) -> Answerer | None:
        """The idle process, if there is one; it belongs to the caller from now on."""
        with self._guard:
            self._used = True
            return self._idle.pop() if self._idle else None

    def keep(self, answerer: Answerer) -> None:
        """Keep a process for the next query; an idle process from before is ended."""
        with self._guard:
            surplus = list(self._idle)
            self._idle = [answerer]
        for one in surplus:
            one.close()

    def close(self) -> None:
        """End the idle process."""
        while one := self.take():
            one.close()

    def forget(self) -> None:
        """Forget the idle process in a fork, which must not talk to its parent's processes."""
        self._guard = threading.Lock()
        idle, self._idle = self._idle, []
        for one in idle:
            one.forget()


_POOL = _Pool()
_TURNS: dict[Path, threading.Lock] = {}
close = _POOL.close
atexit.register(_POOL.close)
os.register_at_fork(after_in_child=_POOL.forget)
os.register_at_fork(after_in_child=_TURNS.clear)


@contextmanager
def _turn(path: Path, wait_seconds: float) -> Iterator[None]:
    lock = _TURNS.setdefault(path, threading.Lock())
    if not lock.acquire(timeout=wait_seconds):
        raise WarehouseLockedError(
            f"The warehouse {path} is in use elsewhere in this process: another thread runs a query. Wait until it "
            "has ended.",
            holder="this process",
        )
    try:
        yield
    finally:
        lock.release()


def _started() -> tuple[subprocess.Popen[bytes], BinaryIO, BinaryIO]:
    """A new process, the pipe to its input and the pipe from its output."""
    flags = ["-I", "-B"] if sys.dont_write_bytecode else ["-I"]
    command = [_interpreter(), *flags, "-c", _BOOT, json.dumps(sys.path)]
    # Arrow's other allocators reserve 1 GiB at once, which would count as memory of the query.
    environment = {**os.environ, "ARROW_DEFAULT_MEMORY_POOL": "system"}
    (child_input, to), (said, child_output) = os.pipe(), os.pipe()
    # In a session of its own, so that Ctrl-C in a terminal reaches only this process, which then ends the other.
    try:
        process = subprocess.Popen(  # noqa: S603 - us
            command, env=environment, stdin=child_input, stdout=child_output, start_new_session=True
        )
    except OSError as error:
        os.close(to)
        os.close(said)
        raise QueryError(
            f"The query process cannot be started ({command[0]}: {error.strerror}). In a program that embeds "
            "Python, name an interpreter with multiprocessing.set_executable."
        ) from error
    finally:
        os.close(child_input)
        os.close(child_output)
    return process, os.fdopen(to, "wb"), cast("BinaryIO", os.fdopen(said, "rb", buffering=0))


def _interpreter() -> str:
    """The path of the Python interpreter. A program that embeds Python sets it in multiprocessing."""
    spawning = sys.modules.get("multiprocessing.spawn")
    configured = None if spawning is None else spawning.get_executable()
    return os.fsdecode(configured or sys.executable or "python3")


def _pickled(request: Request) -> bytes:
    try:
        return pickle.dumps(request)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise QueryError(f"A parameter's value has a type that SQL does not know: {error}.") from error
