"""A file that appears whole or not at all: temporary, fsynced, renamed; private to its owner.

Must not know what is written into it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from connector.errors import OutputError


@contextmanager
def replaced_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file, mode 0600, that takes the place of `path` when the block ends, and not before.

    OutputError if it cannot be written, or if `path` is something else than a file. Whatever is raised in
    the block leaves `path` as it was.
    """
    _require_file(path)
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.tmp")
    try:
        sink = _created(temporary, path)
        try:
            with sink:
                yield sink
                sink.flush()
                os.fsync(sink.fileno())
            temporary.replace(path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        raise _unwritable(path, error.strerror or str(error)) from error


def _created(temporary: Path, path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b")
    except ValueError as error:
        raise _unwritable(path, str(error)) from error


def _require_file(path: Path) -> None:
    """A rename would replace a link, a device or a pipe by a file, which is never what was meant."""
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
        raise _unwritable(path, "it is no ordinary file; leave the file out to write to stdout")
    if not path.parent.is_dir():
        raise _unwritable(path, f"there is no folder {path.parent}; make it first")


def _unwritable(path: Path, reason: str) -> OutputError:
    return OutputError(f"Cannot write {str(path)!r}: {reason}. Nothing was changed.", path=str(path))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
