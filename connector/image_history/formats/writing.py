"""The formats by name and by file suffix, and the one call that writes any of them.

Must not know the terminal, nor import a format before it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from importlib import import_module
from pathlib import Path

from image_history.formats.rows import Rows, Sink


class Format(Enum):
    """How rows are written. `TABLE` is aligned text."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"

    @property
    def for_people(self) -> bool:
        """Whether it is for reading, so that a thousand rows are enough."""
        return self in {Format.TABLE, Format.MARKDOWN}


_WRITERS = {
    Format.CSV: ("csv_lines", "write_csv"),
    Format.JSON: ("json_lines", "write_json"),
    Format.JSONL: ("json_lines", "write_json_lines"),
    Format.MARKDOWN: ("plain", "write_markdown"),
    Format.PARQUET: ("parquet", "write_parquet"),
    Format.TABLE: ("plain", "write_plain"),
}
SUFFIXES = {
    ".csv": Format.CSV,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".markdown": Format.MARKDOWN,
    ".md": Format.MARKDOWN,
    ".ndjson": Format.JSONL,
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".txt": Format.TABLE,
}


def format_of(path: Path) -> Format | None:
    """The format that a file's suffix stands for, None if it says nothing."""
    return SUFFIXES.get(path.suffix.lower())


def write_rows(rows: Rows, sink: Sink, how: Format) -> int:
    """Write all rows in a format; returns their number. Only TABLE holds them in memory.

    Raises what reading the rows and writing to the sink raise.
    """
    return _writer(how)(rows, sink)


def _writer(how: Format) -> Callable[[Rows, Sink], int]:
    """Look the writer up in the one module that has it."""
    module, name = _WRITERS[how]
    writer: Callable[[Rows, Sink], int] = getattr(import_module(f"image_history.formats.{module}"), name)
    return writer
