"""Rows as JSON: one array of objects, or one object a line.

Numbers stay numbers, nulls are null. Must not know the terminal.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from image_history.formats.cells import jsonable
from image_history.formats.rows import Rows, Sink, distinct, pieces

if TYPE_CHECKING:
    import pyarrow as pa

_ENCODER = msgspec.json.Encoder(decimal_format="number")


def write_json_lines(rows: Rows, sink: Sink) -> int:
    """Write one object a line; returns the number of rows."""
    names, count = distinct(rows.schema.names), 0
    for batch in pieces(rows):
        sink.write(_ENCODER.encode_lines(_objects(batch, names)))
        count += batch.num_rows
    return count


def write_json(rows: Rows, sink: Sink) -> int:
    """Write one array, an object on each of its lines; returns the number of rows."""
    names, count = distinct(rows.schema.names), 0
    for batch in pieces(rows):
        for row in _objects(batch, names):
            sink.write(b",\n" if count else b"[\n")
            sink.write(_ENCODER.encode(row))
            count += 1
    sink.write(b"\n]\n" if count else b"[]\n")
    return count


def _objects(batch: pa.RecordBatch, names: list[str]) -> list[dict[str, Any]]:
    columns = [jsonable(column) for column in batch.columns]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
