"""Output formats of rows: an Arrow stream becomes text, CSV, TSV, JSON, Markdown, Parquet or XLSX.

Must not know where rows come from, nor the terminal: what is drawn on one is the command line's.
"""

from image_history.formats.files import replaced_file, require_replaceable
from image_history.formats.rows import Capped, Recast, Rows, Sink, as_rows
from image_history.formats.writing import NAMES, SUFFIXES, Format, format_of, write_rows

__all__ = [
    "NAMES",
    "SUFFIXES",
    "Capped",
    "Format",
    "Recast",
    "Rows",
    "Sink",
    "as_rows",
    "format_of",
    "replaced_file",
    "require_replaceable",
    "write_rows",
]
