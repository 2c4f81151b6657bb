"""Streams of Arrow batches with a schema, and limits and casts of such streams.

Must not know any format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

_PIECE_BYTES = 32 << 20


class Rows(Protocol):
    """Rows to write, readable once. A pyarrow.RecordBatchReader is one."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns, known before the first batch."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The rows, in their order."""


class Sink(Protocol):
    """Where bytes go: a file, a pipe, a terminal."""

    def write(self, content: bytes, /) -> int:
        """Write all of it; each call holds whole characters, and whole rows of text formats."""


def as_rows(table: pa.Table) -> Rows:
    """A table in memory as a stream."""
    rows: Rows = table.to_reader()
    return rows


class Capped:
    """The first `limit` rows of a stream; `more` says, after reading, whether there were more rows."""

    def __init__(self, rows: Rows, limit: int) -> None:
        self._rows = rows
        self._limit = limit
        self.more = False

    @property
    def schema(self) -> pa.Schema:
        """The schema of the stream."""
        return self._rows.schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        left = self._limit
        for batch in self._rows:
            if batch.num_rows > left:
                self.more = True
                if left:
                    yield batch.slice(0, left)
                return
            left -= batch.num_rows
            yield batch


class Recast:
    """A stream cast to another schema of the same columns; a cast that would lose a digit is an error."""

    def __init__(self, rows: Rows, schema: pa.Schema) -> None:
        self._rows = rows
        self.schema = schema

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (self._cast(batch) for batch in self._rows)

    def _cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        import pyarrow as pa

        columns = zip(batch.columns, self.schema.types, strict=True)
        return pa.RecordBatch.from_arrays([of_type(*each) for each in columns], schema=self.schema)


def of_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column cast to a type, without loss. No cast is made if it has the type: a batch has thirty columns."""
    return column if column.type == kind else column.cast(kind)


def pieces(rows: Rows) -> Iterator[pa.RecordBatch]:
    """The batches; one with very long texts is sliced, so that each slice fits Arrow's offsets as text."""
    for batch in rows:
        count = max(1, min(batch.num_rows, -(-batch.nbytes // _PIECE_BYTES)))
        size = -(-batch.num_rows // count)
        for start in range(0, batch.num_rows, size or 1):
            yield batch.slice(start, size)


def distinct(names: Sequence[str]) -> list[str]:
    """The names, numbered where one repeats an earlier one in any case: a, A_1, a_2.

    For formats in which a second column with the same name would replace the first one.
    """
    taken: set[str] = set()
    unique: list[str] = []
    for name in names:
        candidate, number = name, 0
        while candidate.casefold() in taken:
            number += 1
            candidate = f"{name}_{number}"
        taken.add(candidate.casefold())
        unique.append(candidate)
    return unique
