"""A file that appears whole or not at all: temporary, fsynced, renamed; private to its owner.

Must not know what is written into it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from image_history.durable.disk import rename, sync_folder, synced_file, unlink, unwritable
from image_history.durable.effects import File
from image_history.errors import OutputError

_ELSEWHERE = " Name a file where this user may write and the disk has room."


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file, mode 0600, that replaces `path` when the block ends, and not before.

    OutputError if it cannot be written, or if `path` is anything but a file. After an error in the block, `path` is
    unchanged and no temporary file is left.
    """
    _require_file(path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        with _removed_on_failure(temporary):
            with synced_file(temporary, File.OUTPUT) as sink:
                yield sink
            rename(temporary, path, File.OUTPUT)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise _unwritable(path, error.strerror or str(error), _ELSEWHERE) from error
    _keep(path)


@contextmanager
def _removed_on_failure(temporary: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with suppress(OSError):
            unlink(temporary, File.OUTPUT)
        raise


def _keep(path: Path) -> None:
    try:
        sync_folder(path.parent, File.OUTPUT)
    except OSError as error:
        raise OutputError(
            f"{str(path)!r} was written, but its folder cannot be made safe against a power cut: "
            f"{error.strerror or error}. Check the disk, and write it again.",
            path=str(path),
        ) from error


def require_replaceable(path: Path) -> None:
    """OutputError if `replaced_file` would refuse the path, or its folder may not be written to; nothing is made."""
    _require_file(path)
    problem = unwritable(path.parent)
    if problem is not None:
        raise _unwritable(path, f"{path.parent} cannot be written, {problem}", _ELSEWHERE)


def _require_file(path: Path) -> None:
    """Refuse a link, a device or a pipe: a rename would replace it by a file, which the user never means."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        mode = stat.S_IFREG
    except (OSError, ValueError) as error:
        raise _unwritable(path, getattr(error, "strerror", None) or str(error)) from error
    if stat.S_ISDIR(mode):
        raise _unwritable(path, "it is a folder")
    if stat.S_ISLNK(mode):
        raise _unwritable(path, f"it is a link; name what it points to, {os.path.realpath(path)}")
    if not stat.S_ISREG(mode):
        raise _unwritable(path, "it is no ordinary file; --output - writes to stdout, or name another file")
    if not path.parent.is_dir():
        raise _unwritable(path, f"there is no folder {path.parent}; make it first")


def _unwritable(path: Path, reason: str, fix: str = "") -> OutputError:
    return OutputError(f"Cannot write {str(path)!r}: {reason}. Nothing was changed.{fix}", path=str(path))
