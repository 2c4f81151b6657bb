"""Which other process has a database file open, by the lock that DuckDB holds on it.

Reads the lock, and takes none. Must not open the file as a database, nor know what is in it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from pathlib import Path

from image_history.durable.guard import opened_to_read

_POLL_SECONDS = 0.1
# The members of C's struct flock, by system: their format, the order of type, whence, start and length, and the
# place of the process id.
_LAYOUTS = {"linux": ("hhqqi4x", (0, 1, 2, 3), 4), "darwin": ("qqihh", (3, 4, 0, 1), 2)}


def lasting_holder(path: Path, seconds: float) -> str | None:
    """The process that keeps the file open, also if only for reading, for that long; None if there is none.

    Not to be called while this process has the file open: closing a file ends all of a process's locks on it.
    """
    until, process = time.monotonic() + seconds, _holder(path)
    while process is not None and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
        if _holder(path) != process:
            return None
    return None if process is None else _described(process)


def _holder(path: Path) -> int | None:
    """The process whose lock keeps others from writing; None if there is none, or if this system cannot say."""
    if sys.platform not in _LAYOUTS:
        return None
    form, places, place = _LAYOUTS[sys.platform]
    members = [0] * 5
    for number, value in zip(places, (fcntl.F_WRLCK, os.SEEK_SET, 0, 0), strict=True):
        members[number] = value
    try:
        with opened_to_read(path) as file:
            found = struct.unpack(form, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(form, *members)))
    except OSError:
        return None
    return None if found[places[0]] == fcntl.F_UNLCK else found[place]


def _described(process: int) -> str:
    """The process with its program, where this user may know it; a process of another container has no number."""
    if process <= 0:
        return "another process"
    try:
        return f"{Path(f'/proc/{process}/exe').readlink()} (process {process})"
    except OSError:
        return f"process {process}"
