"""What the process that asks and the process that answers tell each other, and how it goes through a pipe.

Must not know DuckDB, nor who starts which process.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import msgspec

from image_history.warehouse.limits import Limits
from image_history.warehouse.saved import Question

# How long DuckDB is interrupted before its process is given up.
GRACE_SECONDS = 5.0
_LENGTHS = struct.Struct("!QQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One question to a warehouse. `path` is seen from `here`; `spill_folder` is the asker's, who removes it."""

    path: Path
    here: str | None
    lock_wait_seconds: float
    question: Question
    limits: Limits
    spill_folder: str


class Began(msgspec.Struct, frozen=True, tag=True):
    """DuckDB works on the question from now on."""


class GaveWay(msgspec.Struct, frozen=True, tag=True):
    """DuckDB was stopped for a writer; the query is repeated after the load."""

    attempt: int


class Answered(msgspec.Struct, frozen=True, tag=True):
    """All rows are there, as a stream of Arrow: behind this message, or `in_file` of the spill folder.

    With `ends` the process has grown too large for another query.
    """

    in_file: bool
    ends: bool


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The question was not answered: `kind` is an error's name in image_history.errors.

    `holder` is who has a locked warehouse. With `ends` DuckDB could not be stopped, and its process ends.
    """

    kind: str
    message: str
    holder: str | None = None
    ends: bool = False


Message = Began | GaveWay | Answered | Failed
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def send(pipe: BinaryIO, head: bytes, body: bytes | memoryview = b"") -> None:
    """Write one message, whole. Raises OSError if nobody reads any more."""
    pipe.write(_LENGTHS.pack(len(head), len(body)))
    pipe.write(head)
    pipe.write(body)
    pipe.flush()


def receive(descriptor: int, wait: Callable[[], None]) -> tuple[bytearray, bytearray]:
    """Head and body of the next message. Calls `wait`, which may raise, before each read; EOFError at the end."""
    head_bytes, body_bytes = _LENGTHS.unpack(_exactly(descriptor, _LENGTHS.size, wait))
    return _exactly(descriptor, head_bytes, wait), _exactly(descriptor, body_bytes, wait)


def encoded(message: Message) -> bytes:
    """A message's head."""
    return msgspec.json.encode(message)


def decoded(head: bytearray) -> Message:
    """The message of a head. Raises msgspec.DecodeError if it is none."""
    return _DECODER.decode(head)


def _exactly(descriptor: int, size: int, wait: Callable[[], None]) -> bytearray:
    buffer = bytearray(size)
    missing = memoryview(buffer)
    while missing:
        wait()
        count = os.readv(descriptor, [missing])
        if not count:
            raise EOFError
        missing = missing[count:]
    return buffer
