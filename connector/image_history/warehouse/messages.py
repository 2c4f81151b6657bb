"""The messages between the asking and the answering process, and their format in a pipe.

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

# How long DuckDB is interrupted before its process is ended.
GRACE_SECONDS = 5.0
_LENGTHS = struct.Struct("!QQ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One query to a warehouse. `path` is relative to `here`; the asking process removes `spill_folder`."""

    path: Path
    here: str | None
    lock_wait_seconds: float
    question: Question
    limits: Limits
    spill_folder: str


class Began(msgspec.Struct, frozen=True, tag=True):
    """DuckDB has begun to work on the query."""


class GaveWay(msgspec.Struct, frozen=True, tag=True):
    """DuckDB was stopped for a writer; the query is repeated after the load."""

    attempt: int


class Answered(msgspec.Struct, frozen=True, tag=True):
    """The query was answered; its rows are an Arrow stream: in the body, or in the spill folder if `in_file`.

    `ends` says that the process has grown too large for another query, and exits.
    """

    in_file: bool
    ends: bool


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The query was not answered: `kind` is the name of an error class in image_history.errors.

    `holder` is the holder of a locked warehouse. `ends` says that DuckDB could not be stopped, and the process exits.
    """

    kind: str
    message: str
    holder: str | None = None
    ends: bool = False


Message = Began | GaveWay | Answered | Failed
_DECODER: msgspec.json.Decoder[Message] = msgspec.json.Decoder(Message)


def send(pipe: BinaryIO, head: bytes, body: bytes | memoryview = b"") -> None:
    """Write one whole message. Raises OSError if the other process has ended."""
    pipe.write(_LENGTHS.pack(len(head), len(body)))
    pipe.write(head)
    pipe.write(body)
    pipe.flush()


def receive(descriptor: int, wait: Callable[[], None]) -> tuple[bytearray, bytearray]:
    """Head and body of the next message. Calls `wait`, which may raise, before each read; EOFError at the end."""
    head_bytes, body_bytes = _LENGTHS.unpack(_exactly(descriptor, _LENGTHS.size, wait))
    return _exactly(descriptor, head_bytes, wait), _exactly(descriptor, body_bytes, wait)


def encoded(message: Message) -> bytes:
    """The head of a message."""
    return msgspec.json.encode(message)


def decoded(head: bytearray) -> Message:
    """The message in a head. Raises msgspec.DecodeError if the head is not a message."""
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
