"""The effects that a run has outside its own memory, by name: tests can put a fault at each of them.

Must not know what an effect is for, nor how it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum


class Effect(StrEnum):
    """What is about to happen at a fault point; a fault there happens instead."""

    FETCHED = "fetched"  # a page was received, and nothing of it is stored yet
    MAKE_FOLDER = "make folder"
    CREATE = "create"
    WRITE = "write"
    FSYNC = "fsync"
    RENAME = "rename"
    LINK = "link"
    SYMLINK = "symlink"
    FSYNC_FOLDER = "fsync folder"
    SHARE = "share"  # with a group
    UNLINK = "unlink"
    REMOVE_TREE = "remove tree"
    LOCK = "lock"
    CONNECT = "connect"
    BEGIN = "begin"
    STATEMENT = "statement"
    COMMIT = "commit"
    COMMITTED = "committed"  # the transaction is on disk, and nothing has been cleaned up yet
    CLOSE = "close"
    PUT = "put"  # of an object into S3
    DELETE = "delete"


class File(StrEnum):
    """What an effect on a file or a folder is about."""

    LANDING = "landing"
    MARK = "mark"  # the file that marks a folder as ours
    LOCK = "lock"
    RUN = "run"
    IMAGES = "images"
    PLAN = "plan"
    SEGMENT = "segment"
    DETAILS = "details"
    CLOSED = "closed"
    KNOWN = "known streams"
    OUTPUT = "output"
    CONFIG = "config"
    SPILL = "spill"
    HISTORY = "history"  # of the shell
    HINTS = "hints"
    WAREHOUSE = "warehouse"
    DEMO = "demo"
    DATASET = "dataset"
    PART = "part"
    MANIFEST = "manifest"
    CURRENT = "current"
    SPOOL = "spool"
    TABLE = "table"  # of a lake
    TABLE_FILE = "table file"
    UPKEEP = "upkeep"  # of a table of a lake


Hook = Callable[[Effect, str], None]

_hooks: list[Hook] = []


def fault_point(effect: Effect, subject: str) -> None:
    """Call the hooks: `effect` is about to happen to `subject` (a File, or the name of a statement or a call)."""
    for hook in _hooks:
        hook(effect, subject)


def install(hook: Hook) -> Callable[[], None]:
    """Call `hook` at every fault point, on any thread; returns a function that removes it. For tests only."""
    _hooks.append(hook)
    return lambda: _hooks.remove(hook)
