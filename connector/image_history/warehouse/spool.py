"""Keeps rows until they are delivered: in memory while they are few, then in a private file.

Must not know where rows come from, nor who reads them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from image_history.durable.effects import Effect, File, fault_point
from image_history.errors import OutputError, QueryError

if TYPE_CHECKING:
    from typing import BinaryIO

_MEMORY_BYTES = 64 << 20
_NAME = "rows.arrows"


class Spool:
    """Batches of one schema, in order: all in memory, or all in a file of `folder`, which the caller removes."""

    def __init__(
        self, schema: pa.Schema, folder: str, *, most_bytes: int, memory_bytes: int = _MEMORY_BYTES
    ) -> None:
        self.schema = schema
        self._path = Path(folder, _NAME)
        self._most_bytes = most_bytes
        self._memory_bytes = memory_bytes
        self._batches: list[pa.RecordBatch] = []
        self._in_memory = 0
        self._file: BinaryIO | None = None
        self._writer: pa.RecordBatchStreamWriter | None = None

    @property
    def in_file(self) -> bool:
        """Whether the rows are in the file, since they became too many for memory."""
        return self._writer is not None

    def add(self, batch: pa.RecordBatch) -> None:
        """Keep a batch. QueryError if the file exceeds `most_bytes`, OutputError if it cannot be written."""
        self._batches.append(batch)
        self._in_memory += batch.nbytes
        if self._writer is None and self._in_memory <= self._memory_bytes:
            return
        try:
            written = self._write()
        except OSError as error:
            raise OutputError(
                f"Cannot keep the rows of a large answer in {self._path.parent}: {error.strerror or error}. "
                "Name a folder with room in the environment variable TMPDIR."
            ) from error
        if written > self._most_bytes:
            raise QueryError(
                f"The query has more rows than a query may have (over {self._most_bytes >> 20:,} MiB): ask for "
                "fewer rows or columns."
            )

    def close(self) -> None:
        """End adding: the file, if there is one, can be read from now on."""
        if self._writer is not None and self._file is not None:
            self._writer.close()
            self._file.close()

    def body(self) -> memoryview:
        """The rows in memory as an Arrow stream; empty if the rows are in the file."""
        if self.in_file:
            return memoryview(b"")
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.schema) as writer:
            while self._batches:
                writer.write_batch(self._batches.pop(0))
        return memoryview(sink.getvalue())

    def _write(self) -> int:
        """Write the batches in memory to the file, compressed; returns the size of the file so far."""
        fault_point(Effect.WRITE, File.SPILL)
        if self._writer is None or self._file is None:
            self._file = self._path.open("wb")
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            self._writer = pa.ipc.new_stream(self._file, self.schema, options=options)
        while self._batches:
            self._writer.write_batch(self._batches.pop(0))
        return self._file.tell()


class Spooled:
    """The rows of a spool, readable once: from its `body`, or from the file in `folder` if that is given."""

    def __init__(self, body: bytes | bytearray | memoryview, folder: str | None) -> None:
        source = pa.py_buffer(body) if folder is None else pa.OSFile(str(Path(folder, _NAME)))
        self._reader = pa.ipc.open_stream(source)
        self.schema: pa.Schema = self._reader.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        with self._reader:
            yield from self._reader
