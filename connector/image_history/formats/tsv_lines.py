r"""Rows as tab-separated values with a header; tabs, line ends and backslashes in cells are escaped as in C.

A null is \N, as databases expect it in such files. Must not know the terminal.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from image_history.formats.cells import is_free_text, texts
from image_history.formats.csv_lines import harmless
from image_history.formats.rows import Rows, Sink, pieces

_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))
_NULL = "\\N"


def write_tsv(rows: Rows, sink: Sink) -> int:
    """Write header and rows; returns the number of rows."""
    names = _escaped(harmless(pa.array(rows.schema.names, pa.string())))
    sink.write(("\t".join(names.to_pylist()) + "\n").encode())
    count = 0
    for batch in pieces(rows):
        cells = [pc.fill_null(_cells(column), _NULL) for column in batch.columns]
        lines = pc.binary_join_element_wise(*cells, "\t").to_pylist()
        sink.write("".join(f"{line}\n" for line in lines).encode())
        count += batch.num_rows
    return count


def _cells(column: pa.Array) -> pa.Array:
    text = texts(column)
    return _escaped(harmless(text)) if is_free_text(column.type) else text


def _escaped(text: pa.Array) -> pa.Array:
    for character, written in _ESCAPES:
        text = pc.replace_substring(text, character, written)
    return text
