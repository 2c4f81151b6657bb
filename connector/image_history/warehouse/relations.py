"""A table or view as a whole: the query that reads it in the order of its key, and its schema for readers.

Must not know how rows are read or written.
"""

from __future__ import annotations

import re

import pyarrow as pa

from image_history.schema import TABLES, Table, arrow_schema
from image_history.warehouse.saved import Question
from image_history.warehouse.statements import names

_NAME = re.compile(r"[A-Za-z_]\w*")


def is_name(text: str) -> bool:
    """Whether the text may be the name of a table or view, and not SQL."""
    return _NAME.fullmatch(text) is not None


def whole(name: str) -> Question:
    """The query for all rows of a table or view, sorted by its key so that equal content has equal order."""
    table = _table(name)
    order = ", ".join(table.key) if table else "ALL"
    return Question(f'FROM "{name}" ORDER BY {order}')  # the name was checked, see is_name


def key_of(name: str) -> tuple[str, ...]:
    """The columns by which a table's rows are sorted; empty for a view."""
    table = _table(name)
    return table.key if table else ()


def outside(name: str, found: pa.Schema) -> pa.Schema:
    """The schema of a relation outside the warehouse: instants in milliseconds, and each column's meaning.

    A relation that is not ours keeps the schema that was `found`.
    """
    table = _table(name)
    if table is None and f"views/{name.lower()}" not in names("views"):
        return found
    own = {field.name: field for field in arrow_schema(table)} if table else {}
    meanings = _meanings(found.names)
    return pa.schema(own.get(field.name) or _viewed(field, meanings.get(field.name)) for field in found)


def _meanings(columns: list[str]) -> dict[str, str]:
    """The meaning of a view's columns, taken from the table with which it shares the most columns."""
    origin = max(TABLES, key=lambda table: len({column.name for column in table.columns} & set(columns)))
    return {column.name: column.meaning for column in origin.columns}


def _table(name: str) -> Table | None:
    return next((table for table in TABLES if table.name == name.lower()), None)


def _viewed(field: pa.Field, meaning: str | None) -> pa.Field:
    """A column of a view: always nullable, since an outer join may make nulls."""
    instant = pa.types.is_timestamp(field.type) and field.type.tz is not None
    kind = pa.timestamp("ms", tz="UTC") if instant else field.type
    return pa.field(field.name, kind, metadata=None if meaning is None else {"comment": meaning})
