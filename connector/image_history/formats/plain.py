"""Rows as text for people: aligned columns without rules, blocks of one row each, and Markdown.

Nothing is shortened. A cell stays on its line, and control characters become spaces. Must not know the terminal.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from image_history.formats.cells import is_number, printable, texts
from image_history.formats.layout import aligned
from image_history.formats.rows import Rows, Sink

if TYPE_CHECKING:
    import pyarrow as pa

NULL = "NULL"
_MARKDOWN = re.compile(r"[\\`*\[\]|~]")
_EXPLAIN = ["explain_key", "explain_value"]


def cells(batch: pa.RecordBatch) -> Iterator[tuple[str | None, ...]]:
    """The rows of a batch as texts that are safe to print; None is a null."""
    columns = [
        [None if text is None else printable(text) for text in texts(column).to_pylist()]
        for column in batch.columns
    ]
    return zip(*columns, strict=True)


def is_explanation(schema: pa.Schema) -> bool:
    """Whether the rows are a query plan: a drawing of many lines, to be shown as it is."""
    return bool(schema.names == _EXPLAIN)


def write_explanation(rows: Rows, sink: Sink) -> int:
    """Write the drawings of query plans; returns their number."""
    plans = [text for batch in rows for text in batch.column(1).to_pylist()]
    for plan in plans:
        lines = [printable(line).rstrip() for line in plan.splitlines()]
        sink.write(("\n".join(lines) + "\n").encode())
    return len(plans)


def write_plain(rows: Rows, sink: Sink) -> int:
    """Write a header and aligned columns, numbers to the right; returns the number of rows."""
    if is_explanation(rows.schema):
        return write_explanation(rows, sink)
    header = [printable(name) for name in rows.schema.names]
    lines = [tuple(_shown(cell) for cell in row) for batch in rows for row in cells(batch)]
    right = [is_number(field.type) for field in rows.schema]
    sink.write("".join(f"{line}\n" for line in aligned(header, lines, right)).encode())
    return len(lines)


def write_blocks(rows: Rows, sink: Sink) -> int:
    """Write each row as a block of `column  value` lines; returns the number of rows."""
    header = [printable(name) for name in rows.schema.names]
    count = 0
    for batch in rows:
        for row in cells(batch):
            count += 1
            lines = aligned(("row", str(count)), list(zip(header, map(_shown, row), strict=True)))
            sink.write(("\n" * (count > 1) + "".join(f"{line}\n" for line in lines)).encode())
    return count


def _shown(cell: str | None) -> str:
    return NULL if cell is None else cell


def write_markdown(rows: Rows, sink: Sink) -> int:
    """Write a table in GitHub's Markdown, with markup in cells escaped; returns the number of rows."""
    header = [printable(name) for name in rows.schema.names]
    rules = ["---:" if is_number(field.type) else "---" for field in rows.schema]
    sink.write(_row(map(markdown, header)) + _row(rules))
    count = 0
    for batch in rows:
        for row in cells(batch):
            sink.write(_row(markdown(_shown(cell)) for cell in row))
            count += 1
    return count


def _row(cells_of_row: Iterator[str] | Sequence[str]) -> bytes:
    return f"| {' | '.join(cells_of_row)} |\n".encode()


def markdown(text: str) -> str:
    """The text with Markdown and HTML escaped."""
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\g<0>", escaped)
