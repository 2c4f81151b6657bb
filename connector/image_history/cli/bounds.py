"""What keeps a query from taking the machine with it: a bound on memory, and a last way out.

DuckDB's own limit leaves out what a single value takes. Must not know what is asked.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from image_history.errors import ConnectorError, QueryError

_STATM = Path("/proc/self/statm")
_HEADROOM_BYTES = 3 << 30
_INTERRUPTED = 130


@contextmanager
def bounded_memory(headroom_bytes: int = _HEADROOM_BYTES) -> Iterator[None]:
    """Let this process's address space grow by so much at most inside the block; QueryError beyond.

    Only where the size is known (Linux); elsewhere DuckDB's own limit is the only one.
    """
    before = _lowered(headroom_bytes)
    try:
        yield
    except MemoryError as error:
        raise QueryError("The query needs more memory than a query may use; ask for less.") from error
    finally:
        _restored(before)


def _lowered(headroom_bytes: int) -> tuple[int, int] | None:
    if not _STATM.exists():
        return None
    import resource

    pages = int(_STATM.read_text(encoding="ascii").split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * resource.getpagesize() + headroom_bytes
    bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *bounds]), hard))
    return soft, hard


def _restored(before: tuple[int, int] | None) -> None:
    if before is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, before)


def leave(error: BaseException) -> None:
    """End the process at once, with the sentence and exit code of `error`; nothing else stops the query."""
    message = error.message if isinstance(error, ConnectorError) else "Interrupted."
    click.echo(f"image-history: {message}", err=True)
    sys.stderr.flush()
    os._exit(error.exit_code if isinstance(error, ConnectorError) else _INTERRUPTED)
