"""Turns cells into text and into JSON values, a whole column at a time.

Instants are ISO 8601 in UTC with milliseconds and Z. Must not know how cells are laid out.
"""

from __future__ import annotations

import base64
import json
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

_NANOSECONDS = 1_000_000_000


def is_number(kind: pa.DataType) -> bool:
    """Whether a column holds numbers."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def is_free_text(kind: pa.DataType) -> bool:
    """Whether a column's text can be arbitrary, unlike that of numbers, booleans, dates and instants."""
    types = pa.types
    return not (is_number(kind) or types.is_boolean(kind) or types.is_temporal(kind) or types.is_null(kind))


def texts(column: pa.Array) -> pa.Array:
    """The column as text; nulls stay null. Lists, structs and maps are JSON, binary is base64."""
    types, kind = pa.types, column.type
    if types.is_string(kind):
        return column
    if types.is_dictionary(kind):
        return texts(column.cast(kind.value_type))
    if types.is_timestamp(kind):
        return _timestamps(column)
    if is_number(kind) or types.is_boolean(kind) or types.is_date(kind) or types.is_time(kind):
        return column.cast(pa.string())
    return pa.array([_text(value) for value in _python(column)], pa.string())


def jsonable(column: pa.Array) -> list[Any]:
    """The column as values for a JSON encoder that writes a Decimal as a number and NaN as null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return jsonable(column.cast(kind.value_type))
    if is_number(kind) or pa.types.is_boolean(kind) or pa.types.is_string(kind):
        values: list[Any] = column.to_pylist()
        return values
    if pa.types.is_nested(kind):
        return [_plain(value) for value in _python(column)]
    strings: list[Any] = texts(column).to_pylist()
    return strings


def printable(text: str) -> str:
    """The text on one line: control characters, and those that reorder text, are replaced by spaces."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


def _timestamps(column: pa.Array) -> pa.Array:
    """Timestamps with a zone: milliseconds and Z; without a zone: in their own precision, unmarked.

    DuckDB and pandas recognize both forms as timestamps; DuckDB would read a T without a zone as text.
    """
    zoned = column.type.tz is not None
    naive = column.cast(pa.timestamp(column.type.unit))
    if zoned and column.type.unit != "ms":
        naive = pc.floor_temporal(naive, unit="millisecond").cast(pa.timestamp("ms"), safe=False)
    text = naive.cast(pa.string())
    beyond = pc.starts_with(text, "<")
    marked = text
    if zoned:
        marked = pc.binary_join_element_wise(
            pc.replace_substring(text, " ", "T", max_replacements=1), "Z", ""
        )
    if not pc.any(beyond).as_py():
        return marked
    # Arrow cannot write DuckDB's infinity, nor years of six digits.
    signs = pc.if_else(pc.greater(column.cast(pa.int64()), 0), "infinity", "-infinity")
    return pc.if_else(beyond, signs, marked)


def _python(column: pa.Array) -> list[Any]:
    values: list[Any] = column.to_pylist(maps_as_pydicts="lossy" if _has_map(column.type) else None)
    return values


def _has_map(kind: pa.DataType) -> bool:
    return bool(pa.types.is_map(kind)) or any(
        _has_map(kind.field(number).type) for number in range(kind.num_fields)
    )


def _text(value: Any) -> str | None:
    if value is None:
        return None
    plain = _plain(value)
    return plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False, default=_number)


def _number(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


def _plain(value: Any) -> Any:
    """A value of a list, struct or map in JSON's terms; a Decimal is left to the encoder."""
    match value:
        case pa.MonthDayNano():
            plain: Any = _interval(value)
        case dict():
            plain = {str(_plain(key)): _plain(member) for key, member in value.items()}
        case list() | tuple():
            plain = [_plain(member) for member in value]
        case bytes():
            plain = base64.b64encode(value).decode("ascii")
        case datetime():
            plain = _instant(value)
        case date() | time():
            plain = value.isoformat()
        case float() if not math.isfinite(value):
            plain = None
        case _:
            plain = value
    return plain


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        return value.isoformat(" ")
    return value.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _interval(value: Any) -> str:
    """ISO 8601, as in P14M3DT5.5S; DuckDB keeps months, days and time apart."""
    seconds, rest = divmod(abs(value.nanoseconds), _NANOSECONDS)
    sign = "-" if value.nanoseconds < 0 else ""
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    months = f"{value.months}M" if value.months else ""
    days = f"{value.days}D" if value.days else ""
    clock = f"T{sign}{seconds}{fraction}S" if value.nanoseconds else ""
    return f"P{months}{days}{clock}" if months or days or clock else "PT0S"
