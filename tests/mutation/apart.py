"""Runs work in a process of its own, forked from a process that has imported all modules.

The process with the imports starts no thread and opens no warehouse, so that forking it is safe. Must not know what
the work does.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TypeVar, cast

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["tests.mutation.coverage", "image_history.cli", "tests.behaviour.harness"])
_Asked = TypeVar("_Asked")
_Answer = TypeVar("_Answer")


def apart(work: Callable[[_Asked], _Answer], asked: _Asked, *, most_s: float | None = None) -> _Answer | None:
    """Run `work` in a process of its own; None if it crashes or is too slow. Raises RuntimeError if `work` raises."""
    here, there = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_tell, args=(there, work, asked))
    process.start()
    there.close()
    told, error = None, None
    try:
        if here.poll(most_s):
            told, error = here.recv()
        else:
            process.kill()
    except EOFError:
        pass
    process.join()
    here.close()
    if error is not None:
        raise RuntimeError(f"{asked}: {error}")
    return cast("_Answer | None", told)


def _tell(there: Connection, work: Callable[[_Asked], _Answer], asked: _Asked) -> None:
    try:
        there.send((work(asked), None))
    except Exception as error:  # noqa: BLE001  every error goes to the calling process
        there.send((None, f"{type(error).__name__}: {error}"))
    there.close()
