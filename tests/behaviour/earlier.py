"""Warehouses as earlier versions left them: with the first migrations only, with data, and with an outdated view.

Must not know what a later migration adds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import duckdb

from image_history.durable.effects import install
from image_history.schema import TABLES
from image_history.warehouse.statements import names, statement
from image_history.warehouse.warehouse import WarehouseFile
from tests.faultpoints.faults import Fault, Tripwire

MIGRATIONS = names("migrations")
# From this schema on, coverage has no row for a stream in which nothing is new.
BY_EXCEPTION = 6
Columns = Mapping[str, tuple[str, ...]]


def columns(path: Path) -> Columns:
    """The columns, in order, of every table of a file that today's program knows."""
    with duckdb.connect(path, read_only=True) as connection:
        rows = connection.execute(
            "SELECT table_name, list(column_name ORDER BY column_index) FROM duckdb_columns() "
            "WHERE NOT internal AND table_name IN (SELECT table_name FROM duckdb_tables()) GROUP BY ALL"
        ).fetchall()
    known = {table.name for table in TABLES}
    return {name: tuple(each) for name, each in rows if name in known}


def make_earlier(path: Path, number: int, today: Path) -> None:
    """Make a file of schema `number`, with the rows of `today` in the columns that this schema has."""
    with duckdb.connect(path, config={"storage_compatibility_version": "v1.5.0"}) as connection:
        for name in MIGRATIONS[: number + 1]:
            record = {"number": int(name.split("/")[1][:3]), "name": name, "connector_version": "0.0.1"}
            connection.execute("BEGIN").execute(statement(name)).fetchall()
            connection.execute(statement("session/record_migration"), record).execute("COMMIT").fetchall()
        connection.execute("CREATE VIEW current_image_versions AS SELECT 'of another time' AS outdated")
        connection.execute("INSERT INTO schema_objects VALUES ('of another time', now())").fetchall()
    present = columns(path)
    with duckdb.connect(path) as connection:
        connection.execute(f"ATTACH '{today}' AS today (READ_ONLY)").fetchall()
        for table, held in present.items():
            shared = ", ".join(held)
            rows = f"SELECT {shared} FROM today.{table} ORDER BY rowid"
            if table == "coverage" and number < BY_EXCEPTION:
                rows = (
                    f"SELECT {shared} FROM today.coverage_in_full ORDER BY etl_run_id, image_name NULLS FIRST"
                )
            connection.execute(f"INSERT INTO {table} ({shared}) {rows}").fetchall()


def die(fault: str, path: str) -> int:
    """Open the file for writing in a child process, which dies at the fault; returns the child's exit code."""
    child = os.fork()
    if child == 0:
        try:
            install(Tripwire(Fault.parse(fault), lambda _: None))
            with WarehouseFile(Path(path)).writing():
                os._exit(0)
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    # A fork needs an interpreter with one thread and without open warehouses. Arguments: FAULT PATH FAULT PATH ...
    pairs = zip(sys.argv[1::2], sys.argv[2::2], strict=True)
    sys.stdout.write(" ".join(str(die(fault, path)) for fault, path in pairs))
