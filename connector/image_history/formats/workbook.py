"""Rows as one sheet of an Excel workbook: numbers, booleans and instants as such, the rest as text, never formulas.

The only module that uses XlsxWriter. Must not know what the rows mean.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from image_history.errors import ConfigError, OutputError
from image_history.formats.cells import is_number, texts
from image_history.formats.rows import Rows, Sink, distinct, pieces

if TYPE_CHECKING:
    from xlsxwriter.worksheet import Worksheet

_MOST_ROWS, _MOST_CHARACTERS = 1_048_575, 32_767
# Excel holds every number as a double.
_EXACT = 2**53
# Instants outside of Excel's dates are written as text.
_FIRST, _LAST = datetime(1900, 3, 1), datetime(9999, 12, 31)  # noqa: DTZ001  # bounds of naive columns
_INSTANT = "yyyy-mm-dd hh:mm:ss.000"
_COPIED_BYTES = 1 << 20

Writer = Callable[[int, int, Any], object]


def write_workbook(rows: Rows, sink: Sink) -> int:
    """Write a sheet with a header that stays in sight; returns the number of rows. Instants are in UTC.

    OutputError if there are more rows or longer texts than Excel can hold.
    """
    try:
        import xlsxwriter
    except ImportError as error:
        raise ConfigError(
            "Excel workbooks need the extra xlsx: pip install 'sagemaker-image-history[xlsx]'."
        ) from error
    with tempfile.TemporaryDirectory(prefix="image-history-") as folder:
        path = Path(folder, "rows.xlsx")
        options = {
            "constant_memory": True,
            "tmpdir": folder,
            "strings_to_formulas": False,
            "strings_to_urls": False,
        }
        with xlsxwriter.Workbook(path, options) as book:
            # The time of writing would make two files of equal rows differ.
            book.set_properties({"created": datetime(2000, 1, 1)})  # noqa: DTZ001  # XlsxWriter takes naive ones
            sheet = book.add_worksheet("rows")
            sheet.freeze_panes(1, 0)
            for number, name in enumerate(distinct(rows.schema.names)):
                sheet.write_string(0, number, name, book.add_format({"bold": True}))
            count = _fill(rows, sheet, book.add_format({"num_format": _INSTANT}))
        with path.open("rb") as written:
            while chunk := written.read(_COPIED_BYTES):
                sink.write(chunk)
    return count


def _fill(rows: Rows, sheet: Worksheet, instant: Any) -> int:
    writers = [_writer(field.type, sheet, instant) for field in rows.schema]
    count = 0
    for batch in pieces(rows):
        if count + batch.num_rows > _MOST_ROWS:
            raise OutputError(
                f"A sheet of Excel holds {_MOST_ROWS:,} rows, and there are more: use csv or parquet."
            )
        columns = [_values(column) for column in batch.columns]
        for row in zip(*columns, strict=True):
            count += 1
            for number, (write, value) in enumerate(zip(writers, row, strict=True)):
                if value is not None:
                    write(count, number, value)
    return count


def _values(column: pa.Array) -> list[Any]:
    kind = column.type
    if pa.types.is_timestamp(kind):
        milliseconds = column.cast(pa.timestamp("ms"), safe=False)
        known = pc.all(pc.and_(pc.greater_equal(milliseconds, _FIRST), pc.less(milliseconds, _LAST))).as_py()
        values: list[Any] = (milliseconds if known is not False else texts(column)).to_pylist()
    elif is_number(kind) or pa.types.is_boolean(kind):
        values = column.to_pylist()
    else:
        values = texts(column).to_pylist()
    return values


def _writer(kind: pa.DataType, sheet: Worksheet, instant: Any) -> Writer:
    if pa.types.is_timestamp(kind):
        return lambda row, column, value: (
            sheet.write_string(row, column, value)
            if isinstance(value, str)
            else sheet.write_datetime(row, column, value, instant)
        )
    if pa.types.is_boolean(kind):
        boolean: Writer = sheet.write_boolean
        return boolean

    def number(row: int, column: int, value: Any) -> object:
        exact = math.isfinite(value) and abs(value) <= _EXACT
        return (
            sheet.write_number(row, column, value) if exact else sheet.write_string(row, column, str(value))
        )

    def text(row: int, column: int, value: str) -> object:
        if len(value) > _MOST_CHARACTERS:
            raise OutputError(f"A cell of Excel holds {_MOST_CHARACTERS:,} characters: use csv or parquet.")
        return sheet.write_string(row, column, value)

    chosen: Writer = number if is_number(kind) else text
    return chosen
