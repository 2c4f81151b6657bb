"""What the tests of datasets share: a warehouse of several regions that changes on demand, and plain readers.

Must not know what a test changes, nor the connector's way of reading a dataset.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds

from image_history.config import Config, Publish
from image_history.model import Publication
from image_history.publish.stage import publish_one
from image_history.warehouse.warehouse import WarehouseFile
from tests.looking import looking

NOON = "TIMESTAMPTZ '2026-11-23 12:00:00Z'"
# The name of a publication's folder.
CUT = "20260101T000000-deadbeef"
REGIONS = ("eu-west-1", "us-east-1", "us-west-2")
VERSIONS = f"""
INSERT INTO image_versions BY NAME
SELECT lpad((number % $accounts)::VARCHAR, 12, '1') AS account_id, region,
       'image-' || (number // $accounts % 20) AS image_name, (number // $accounts // 20 + 1)::INTEGER AS version,
       'arn:aws:sagemaker:' || region || ':111122223333:image/image-' || (number // $accounts % 20) AS image_arn,
       image_arn || '/' || version AS image_version_arn, 'CREATED' AS image_version_status,
       {NOON} + to_milliseconds(number) AS creation_time, creation_time AS last_modified_time,
       creation_time AS etl_valid_from, {NOON} AS etl_first_seen_at, {NOON} AS etl_changed_at, 'run-0' AS etl_run_id
FROM range($rows) AS numbers (number), (SELECT unnest($regions) AS region)
ORDER BY account_id, region, image_name, version
"""
RUN = f"""
INSERT INTO runs BY NAME
SELECT $run_id AS etl_run_id, {NOON} + to_minutes($number) AS started_at, started_at AS finished_at,
       'complete' AS outcome, 'full' AS mode, '0.1.0' AS connector_version, '1.5' AS duckdb_version, 'here' AS host,
       zeros.*
FROM (SELECT 0 AS streams, 0 AS inserted, 0 AS updated, 0 AS unchanged, 0 AS reappeared, 0 AS deleted,
             0 AS list_images_calls, 0 AS list_image_versions_calls, 0 AS describe_image_calls,
             0 AS describe_image_version_calls, 0 AS retries, 0 AS throttles, 0 AS bytes_received) AS zeros
"""
CHANGE = """
UPDATE image_versions SET failure_reason = $run_id, etl_run_id = $run_id
WHERE region IN (SELECT unnest($regions))
"""


@dataclass(slots=True)
class Stock:
    """A warehouse with versions in several regions. Each change belongs to a run, and changed rows hold its id."""

    folder: Path
    rows_of_a_region: int = 40
    accounts: int = 2
    regions: tuple[str, ...] = REGIONS
    name: str = "run"
    runs: int = 0

    @property
    def warehouse(self) -> Path:
        return self.folder / "image-history.duckdb"

    @property
    def config(self) -> Config:
        return Config(warehouse=self.warehouse)

    @property
    def dataset(self) -> Path:
        return self.folder / "dataset"

    def fill(self) -> Stock:
        """Make the warehouse with its first run."""
        with WarehouseFile(self.warehouse).writing() as connection:
            connection.duck.execute(
                VERSIONS,
                {"accounts": self.accounts, "rows": self.rows_of_a_region, "regions": list(self.regions)},
            ).fetchall()
        self.change()
        return self

    def change(self, *regions: str) -> str:
        """Change every version of some regions in one run; returns its id."""
        self.runs += 1
        run_id = f"{self.name}-{self.runs}"
        with duckdb.connect(self.warehouse) as connection:
            if regions:
                connection.execute(CHANGE, {"run_id": run_id, "regions": list(regions)}).fetchall()
            connection.execute(RUN, {"run_id": run_id, "number": self.runs}).fetchall()
        return run_id

    def run_sql(self, sql: str, **parameters: object) -> None:
        """Change the warehouse with a test's own SQL."""
        with duckdb.connect(self.warehouse) as connection:
            connection.execute(sql, parameters).fetchall()

    @property
    def identity(self) -> str:
        """The id of the warehouse."""
        with looking(self.warehouse) as connection:
            [(found,)] = connection.execute("SELECT warehouse_id::VARCHAR FROM warehouse_identity").fetchall()
            return str(found)

    def publish(self, *tables: str, replace: bool = False, **entry: object) -> Publication:
        """Publish tables, image_versions by default, to the folder `dataset`."""
        given: dict[str, Any] = {"to": str(self.dataset), "tables": tables or ("image_versions",), **entry}
        return publish_one(self.config, Publish(**given), replace=replace)

    def stored(self, table: str = "image_versions") -> pa.Table:
        """The rows of a table as the warehouse has them, region last, instants in milliseconds."""
        with looking(self.warehouse) as connection:
            return plain(connection.sql(f"FROM {table}").to_arrow_table())


def plain(table: pa.Table) -> pa.Table:
    """A table with sorted columns and rows, and with types that are the same for every reader."""
    names = sorted(name for name in table.column_names if name != "region")
    names += ["region"] if "region" in table.column_names else []
    fields = [
        pa.field(name, pa.timestamp("ms", tz="UTC") if pa.types.is_timestamp(kind) else kind)
        for name, kind in ((name, _plain(table.schema.field(name).type)) for name in names)
    ]
    return (
        table.select(names)
        .cast(pa.schema(fields))
        .sort_by([(name, "ascending") for name in _sortable(fields)])
    )


def _plain(kind: pa.DataType) -> pa.DataType:
    value: pa.DataType = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if pa.types.is_large_string(value) else value


def _sortable(fields: list[pa.Field]) -> list[str]:
    return [field.name for field in fields if not pa.types.is_nested(field.type)]


def by_glob(folder: Path, table: str = "image_versions") -> pa.Table:
    """Read the path with plain DuckDB, as an analyst does."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        pattern = f"{folder}/{table}/**/*.parquet"
        return connection.sql(f"FROM read_parquet('{pattern}', hive_partitioning = true)").to_arrow_table()


def by_manifest(folder: Path, table: str = "image_versions") -> pa.Table:
    """Read the manifest's files with plain DuckDB: consistent even if a publication happens meanwhile."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'").fetchall()
        connection.execute(
            f"SET VARIABLE files = (SELECT list('{folder}/' || file.path) "
            f"FROM (SELECT unnest(files) AS file FROM read_json('{folder}/manifest.json')) "
            f"WHERE file.table = '{table}')"
        ).fetchall()
        return connection.sql(
            "FROM read_parquet(getvariable('files'), hive_partitioning = true)"
        ).to_arrow_table()


def by_pandas(folder: Path, table: str = "image_versions") -> pa.Table:
    """Read with pandas the folder that `current` points to now."""
    frame = pd.read_parquet((folder / table).resolve())
    return pa.Table.from_pandas(frame, preserve_index=False)


def by_pyarrow(folder: Path, table: str = "image_versions") -> pa.Table:
    """Read with pyarrow.dataset the folder that `current` points to now."""
    return ds.dataset((folder / table).resolve(), partitioning="hive").to_table()


READERS = {"glob": by_glob, "manifest": by_manifest, "pandas": by_pandas, "pyarrow": by_pyarrow}


def manifest(folder: Path) -> dict[str, Any]:
    """The manifest as plain JSON."""
    read: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return read


def parts(folder: Path) -> dict[str, str]:
    """Every Parquet file of the current publication, by its path, with the hash of its bytes."""
    current = (folder / "current").resolve()
    return {
        str(path.relative_to(current)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(current.rglob("*.parquet"))
    }
