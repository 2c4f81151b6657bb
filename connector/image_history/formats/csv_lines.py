"""Rows as CSV: RFC 4180 with a header, and no cell that a spreadsheet would run as a formula.

Free text is quoted, so that an empty text ("") differs from null (nothing). Must not know the terminal.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from image_history.formats.cells import is_free_text, texts
from image_history.formats.rows import Rows, Sink, pieces

_END = "\r\n"
# OWASP's list of characters that start a formula, including the full-width forms of CJK keyboards.
_FORMULA = (
    "^[=+\\-@\\t\\r\\n\\x00\N{FULLWIDTH EQUALS SIGN}\N{FULLWIDTH PLUS SIGN}"
    "\N{FULLWIDTH HYPHEN-MINUS}\N{FULLWIDTH COMMERCIAL AT}]"
)


def write_csv(rows: Rows, sink: Sink) -> int:
    """Write header and rows; returns the number of rows."""
    names = pa.array(rows.schema.names, pa.string())
    sink.write(",".join(_quoted(names).to_pylist()).encode() + _END.encode())
    count = 0
    for batch in pieces(rows):
        sink.write(_lines(batch))
        count += batch.num_rows
    return count


def _lines(batch: pa.RecordBatch) -> bytes:
    cells = [_cells(column) for column in batch.columns]
    if len(cells) == 1:
        # Most readers would skip an empty line.
        cells = [pc.fill_null(cells[0], '""')]
    separator = pa.scalar(",", pa.string())
    ended = [*cells[:-1], pc.binary_join_element_wise(cells[-1], _END, "", **_NULL_IS_EMPTY)]
    lines = pc.binary_join_element_wise(*ended, separator, **_NULL_IS_EMPTY)
    return "".join(lines.to_pylist()).encode()


_NULL_IS_EMPTY = {"null_handling": "replace", "null_replacement": ""}


def _cells(column: pa.Array) -> pa.Array:
    text = texts(column)
    return _quoted(text) if is_free_text(column.type) else text


def _quoted(text: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise('"', pc.replace_substring(harmless(text), '"', '""'), '"', "")


def harmless(text: pa.Array) -> pa.Array:
    """The cells, with an apostrophe before each that a spreadsheet would run as a formula."""
    return pc.if_else(
        pc.match_substring_regex(text, _FORMULA), pc.binary_join_element_wise("'", text, ""), text
    )
