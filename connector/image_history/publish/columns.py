"""The columns of a lake table in its files: numbers as Iceberg requires, comments, and the width of offsets.

Arrow alone; must not know a table, nor what is published.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pyarrow as pa

FIELD_ID = "PARQUET:field_id"


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
