"""Prepares the standard streams: closed ones, as by `2>&-`, and those whose disk is full.

Must not know what is written.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

from image_history.errors import OutputError

_STANDARD = 3


def open_standard_streams() -> None:
    """Open the null device at each closed number of 0, 1 and 2, and as Python's streams.

    Otherwise the next file that is opened would get that number, and a library that writes to the stream would write
    into the file, for example the warehouse.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) < _STANDARD:
        os.set_inheritable(descriptor, True)  # noqa: FBT003 - positional only
    os.close(descriptor)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115 - for the process's life
    sys.stdout = _prepared(sys.stdout, _Stdout)
    sys.stderr = _prepared(sys.stderr, _Stderr)


class _Stdout(io.FileIO):
    """Standard output: it cannot be confused with other files, since OutputError names it."""

    def write(self, content: Any, /) -> int:
        """Write; OutputError says why it is impossible. BrokenPipeError is the reader's choice, and no problem."""
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise OutputError(f"Standard output cannot be written: {error.strerror or error}.") from error


class _Stderr(io.FileIO):
    """Standard error: if it cannot be written, what is printed there is lost, and the command goes on."""

    def write(self, content: Any, /) -> int:
        """Write if that is possible."""
        try:
            return super().write(content)
        except BrokenPipeError:
            raise
        except OSError:
            return memoryview(content).nbytes


def _prepared(stream: TextIO, kind: type[io.FileIO]) -> TextIO:
    """The same stream over such a file; a terminal stays as it is, and so does what is not Python's own stream."""
    own = stream in (sys.__stdout__, sys.__stderr__)
    if not isinstance(stream, io.TextIOWrapper) or not own or stream.isatty():
        return stream
    file: Any = kind(stream.fileno(), "w", closefd=False)
    return io.TextIOWrapper(
        # Python's own streams have no buffer with PYTHONUNBUFFERED.
        file if stream.write_through else io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=stream.errors,
        newline="\n",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )
