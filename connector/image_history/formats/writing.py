"""The formats by name and by file suffix, and the one call that writes any of them.

Must not know the terminal, nor import a format before it is used.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from importlib import import_module
from pathlib import PurePosixPath

from image_history.errors import ConfigError
from image_history.formats.rows import Rows, Sink


class Format(Enum):
    """How rows are written. `TABLE` is aligned text."""

    TABLE = "table"
    BLOCKS = "blocks"
    CSV = "csv"
    TSV = "tsv"
    JSON = "json"
    JSONL = "jsonl"
    MARKDOWN = "markdown"
    PARQUET = "parquet"
    XLSX = "xlsx"

    @property
    def for_people(self) -> bool:
        """Whether people read it, so that a thousand rows are enough."""
        return self in {Format.TABLE, Format.BLOCKS, Format.MARKDOWN}

    @property
    def binary(self) -> bool:
        """Whether it is for a file or a pipe, never for a terminal."""
        return self in {Format.PARQUET, Format.XLSX}


_WRITERS = {
    Format.BLOCKS: ("plain", "write_blocks"),
    Format.CSV: ("csv_lines", "write_csv"),
    Format.JSON: ("json_lines", "write_json"),
    Format.JSONL: ("json_lines", "write_json_lines"),
    Format.MARKDOWN: ("plain", "write_markdown"),
    Format.PARQUET: ("parquet", "write_parquet"),
    Format.TABLE: ("plain", "write_plain"),
    Format.TSV: ("tsv_lines", "write_tsv"),
    Format.XLSX: ("workbook", "write_workbook"),
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
    ".tab": Format.TSV,
    ".tsv": Format.TSV,
    ".txt": Format.TABLE,
    ".xlsx": Format.XLSX,
}
# The values of --format: the name of each format, and common short names.
NAMES = {**{how.value: how for how in Format}, "md": Format.MARKDOWN, "ndjson": Format.JSONL}
FORMATS_HELP = f"How rows look: {', '.join(NAMES)}"


def format_of(name: str, otherwise: Format) -> Format:
    """The format of a file name's suffix, `otherwise` if the name has none.

    ConfigError for an unknown suffix; the message lists the known ones.
    """
    suffix = PurePosixPath(name).suffix.lower()
    if not suffix:
        return otherwise
    if suffix not in SUFFIXES:
        copy = " A .duckdb file is a copy of the warehouse: image-history export." * (suffix == ".duckdb")
        raise ConfigError(
            f"{name!r} ends in {suffix}, which is no format of rows: end it in {', '.join(SUFFIXES)}, or add "
            f"--format.{copy}"
        )
    return SUFFIXES[suffix]


def write_rows(rows: Rows, sink: Sink, how: Format) -> int:
    """Write all rows in a format; returns their number. Only TABLE holds them in memory.

    Errors from reading the rows and from writing to the sink are raised unchanged.
    """
    return _writer(how)(rows, sink)


def _writer(how: Format) -> Callable[[Rows, Sink], int]:
    """Import the module of a format, and return its writer."""
    module, name = _WRITERS[how]
    writer: Callable[[Rows, Sink], int] = getattr(import_module(f"image_history.formats.{module}"), name)
    return writer
