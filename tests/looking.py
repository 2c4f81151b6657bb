"""A look into a warehouse at a tenth of what opening it costs: DuckDB is set up once, and files are attached to it.

Must not know what is looked for.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import duckdb

_LOOKING = threading.Lock()


@contextmanager
def looking(warehouse: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that reads a warehouse, in UTC; one at a time. Raises what opening the file would.

    Only for files that nobody in this process has open: its end takes the file's lock from them.
    """
    path = str(warehouse).replace("'", "''")
    with _LOOKING, _engine().cursor() as connection:
        connection.execute("SET timezone = 'UTC'").fetchall()
        connection.execute(f"ATTACH '{path}' AS warehouse (READ_ONLY)").fetchall()
        try:
            connection.execute("USE warehouse").fetchall()
            yield connection
        finally:
            connection.execute("USE memory").fetchall()
            connection.execute("DETACH warehouse").fetchall()


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    # Without threads of its own: processes are forked from ours.
    return duckdb.connect(config={"threads": 1})
