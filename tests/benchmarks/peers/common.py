"""The peers' shared parts, so that they differ only in what is compared: files, watermarks, the Parquet file.

Must not know how any peer fetches or loads.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
from botocore.config import Config

DATABASE, DATASET = Path("peer.duckdb"), Path("rows.parquet")
PAGE_SIZE = 100
THREADS = 16

_COLUMNS = """
    image_name VARCHAR, version INTEGER, image_arn VARCHAR, image_version_arn VARCHAR, image_version_status VARCHAR,
    failure_reason VARCHAR, creation_time TIMESTAMPTZ, last_modified_time TIMESTAMPTZ
"""


def client_config() -> Config:
    """The configuration of every boto3 client: each peer retries throttled calls, so that none of them fails."""
    return Config(max_pool_connections=THREADS, retries={"mode": "adaptive", "max_attempts": 20})


def connect(*, primary_key: bool) -> duckdb.DuckDBPyConnection:
    """Open the peer's own DuckDB file, and create its table."""
    database = duckdb.connect(DATABASE)
    database.execute("SET timezone = 'UTC'")
    key = ", PRIMARY KEY (image_name, version)" if primary_key else ""
    database.execute(f"CREATE TABLE IF NOT EXISTS image_versions ({_COLUMNS}{key})")
    return database


def watermarks(database: duckdb.DuckDBPyConnection) -> dict[str, float]:
    """The newest stored LastModifiedTime of each image, in epoch seconds."""
    found: list[tuple[str, float]] = database.execute(
        "SELECT image_name, epoch_ms(max(last_modified_time)) / 1000 FROM image_versions GROUP BY 1"
    ).fetchall()
    return dict(found)


def upsert(database: duckdb.DuckDBPyConnection, rows: Any) -> None:
    """Merge a data frame or an Arrow table with ON CONFLICT, as tutorials do."""
    database.register("rows", rows)
    database.execute(
        "INSERT INTO image_versions BY NAME SELECT * FROM rows ON CONFLICT (image_name, version) DO UPDATE SET "
        "image_version_status = excluded.image_version_status, failure_reason = excluded.failure_reason, "
        "last_modified_time = excluded.last_modified_time"
    )


def replace(database: duckdb.DuckDBPyConnection, rows: Any) -> None:
    """Merge an Arrow table with DELETE and INSERT, without an index."""
    database.register("rows", rows)
    database.begin()
    database.execute(
        "DELETE FROM image_versions AS old USING rows WHERE old.image_name = rows.image_name "
        "AND old.version = rows.version"
    )
    database.execute("INSERT INTO image_versions BY NAME SELECT * FROM rows")
    database.commit()


def publish(database: duckdb.DuckDBPyConnection, source: str = "image_versions") -> None:
    """Write the rows of a table or query to the Parquet file that the benchmark checks."""
    database.execute(f"COPY (SELECT * FROM {source}) TO '{DATASET}' (FORMAT parquet, COMPRESSION zstd)")
