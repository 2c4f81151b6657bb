"""Converts columns of a lake table for its files: field numbers as Iceberg requires, and casts to another schema.

Arrow alone; must not know a table, nor what is published.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from image_history.formats import Rows

FIELD_ID = "PARQUET:field_id"


class Cast:
    """Rows cast to another schema of the same columns; a cast that would lose a digit is an error."""

    def __init__(self, rows: Rows, schema: pa.Schema) -> None:
        self.schema = schema
        self._rows = rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (self._cast(batch) for batch in self._rows)

    def _cast(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = zip(batch.columns, self.schema.types, strict=True)
        return pa.RecordBatch.from_arrays([of_type(*each) for each in columns], schema=self.schema)


def of_type(column: pa.Array, kind: pa.DataType) -> pa.Array:
    """The column cast to a type, without loss. No cast is made if it has the type: a batch has thirty columns."""
    return column if column.type == kind else column.cast(kind)


def numbered(columns: pa.Schema) -> pa.Schema:
    """The columns with their meaning where Iceberg expects it, and with a number each, also inside lists."""
    numbers = iter(range(1, sys.maxsize))
    top = [(column, next(numbers)) for column in columns]
    return pa.schema([_numbered(column, number, numbers) for column, number in top])


def _numbered(column: pa.Field, number: int, numbers: Iterator[int]) -> pa.Field:
    comment = (column.metadata or {}).get(b"comment")
    metadata = {FIELD_ID: str(number)} | ({"doc": comment.decode()} if comment else {})
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        inner = kind.value_field.with_name("element")
        kind = pa.list_(_numbered(inner, next(numbers), numbers))
    elif pa.types.is_struct(kind):
        kind = pa.struct([_numbered(each, next(numbers), numbers) for each in kind])
    return pa.field(column.name, kind, column.nullable, metadata=metadata)


def narrowed(column: pa.Field) -> pa.Field:
    """The column with 32-bit offsets: no row group needs wider ones, and a cast to wider ones copies every text."""
    kind = column.type
    if pa.types.is_large_string(kind):
        kind = pa.string()
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        kind = pa.list_(narrowed(kind.value_field))
    elif pa.types.is_struct(kind):
        kind = pa.struct([narrowed(each) for each in kind])
    return column.with_type(kind)


def unexplained(column: pa.Field) -> pa.Field:
    """The column with its number but without its meaning: the table has the meaning, so files need not repeat it."""
    number = (column.metadata or {}).get(FIELD_ID.encode())
    return column.with_metadata({FIELD_ID: number.decode()} if number else None)
