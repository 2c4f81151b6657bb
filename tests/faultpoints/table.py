"""Turns a warehouse's contents, without the values that differ between runs, into bytes.

Must not know how the contents were written.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING

from image_history.formats import Format, as_rows, write_rows
from tests.looking import looking

if TYPE_CHECKING:
    import pyarrow as pa

# Columns that hold the local clock's time or the run's id.
_VOLATILE = {
    "image_versions": "etl_run_id, etl_first_seen_at, etl_changed_at",
    "image_version_events": "etl_run_id, etl_observed_at",
    "images": "etl_run_id, etl_first_seen_at, etl_changed_at",
    "streams": "etl_run_id",
    "absent_versions": "etl_run_id",
    "scope_accounts": "etl_run_id",
    "schema_drift": "etl_run_id, first_seen_at, occurrences",
}
NOTHING = "nothing"


def fingerprint(warehouse: Path) -> str:
    """The SHA-256 of all tables as Parquet; NOTHING if every table is empty or there is no warehouse."""
    if not warehouse.exists():
        return NOTHING
    digest, rows = hashlib.sha256(), 0
    with looking(warehouse) as connection:
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        for name in sorted(there & _VOLATILE.keys()):
            table = connection.sql(
                f"SELECT * EXCLUDE ({_VOLATILE[name]}) FROM {name} ORDER BY ALL"
            ).to_arrow_table()
            rows += table.num_rows
            digest.update(name.encode() + _parquet(table))
    return digest.hexdigest() if rows else NOTHING


def _parquet(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    write_rows(as_rows(table), sink, Format.PARQUET)
    return sink.getvalue()
