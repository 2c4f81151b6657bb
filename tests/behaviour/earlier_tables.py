"""Lake tables as an earlier version left them: made by the formats' own libraries, with that version's properties.

Must not know how the connector writes a table now: every later version has to read the tables that are made here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from pyiceberg.catalog import load_catalog

if TYPE_CHECKING:
    from tests.behaviour.lakes import Shelf

NAMESPACE = "inventory"
REQUIRED = frozenset({"account_id", "region", "image_name", "version"})
# Columns that later versions added. Earlier tables also had no comments on their columns.
LATER = frozenset({"aliases", "horovod", "etl_aliases_at", "etl_read_at"})


def leave(shelf: Shelf, name: str, stored: pa.Table, *, run_id: str, owner: str, as_of_ms: int) -> pa.Table:
    """Make the table with the rows that a run stored, without later columns; returns the rows that readers find.

    `owner` is the id of the warehouse's first run, by which the tables identified the warehouse.
    """
    rows = earlier(stored)
    regions = rows.group_by("region").aggregate([([], "count_all")]).to_pylist()
    parts = [[each["region"], each["count_all"], f"fingerprint of {each['region']}"] for each in regions]
    state = {"run_id": run_id, "as_of_ms": as_of_ms, "shape": "0123456789abcdef", "parts": parts}
    commit = {
        "image-history.label": "",
        "image-history.run-id": run_id,
        "image-history.state": json.dumps(state),
    }
    properties = {"image-history.owner": owner}
    (_leave_iceberg if shelf.kind == "iceberg" else _leave_delta)(shelf, name, rows, properties, commit)
    return rows


def earlier(stored: pa.Table) -> pa.Table:
    """The rows in the columns of that version, with instants in microseconds."""
    fields = [
        pa.field(each.name, _microseconds(each.type), each.name not in REQUIRED)
        for each in stored.schema
        if each.name not in LATER
    ]
    return stored.select([each.name for each in fields]).cast(pa.schema(fields))


def _microseconds(kind: pa.DataType) -> pa.DataType:
    return pa.timestamp("us", tz="UTC") if pa.types.is_timestamp(kind) else kind


def _leave_iceberg(
    shelf: Shelf, name: str, rows: pa.Table, properties: dict[str, str], commit: dict[str, str]
) -> None:
    catalog = load_catalog("local", **shelf.catalog)
    catalog.create_namespace_if_not_exists(NAMESPACE)
    table = catalog.create_table(f"{NAMESPACE}.{name}", rows.schema, properties=properties)
    with table.update_spec() as spec:
        spec.add_identity("region")
    table.append(rows, snapshot_properties=commit)


def _leave_delta(
    shelf: Shelf, name: str, rows: pa.Table, properties: dict[str, str], commit: dict[str, str]
) -> None:
    """Make a Delta table; Delta's own writer partitions by folders and leaves the region out of the files."""
    folder = Path(shelf.to.removeprefix("delta+file:")) / name
    DeltaTable.create(
        folder,
        rows.schema,
        partition_by=["region"],
        configuration=dict(properties),
        raise_if_key_not_exists=False,
    )
    write_deltalake(
        folder, rows, mode="append", commit_properties=CommitProperties(custom_metadata=dict(commit))
    )
