"""Reads lake tables with DuckDB's extensions, Daft (also on Ray) and Spark SQL on Sail; writes the rows as Parquet.

A program of its own, for the environments of requirements/lakes.txt and ray.txt: it knows nothing of image-history,
and gets its work on standard input. It prints a line for each reading, with the error if it failed.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.parquet as pq

Read = Callable[[dict[str, Any]], pa.Table]


def extension(name: str) -> str:
    """The file of a DuckDB extension that a wheel installed."""
    found = importlib.util.find_spec(f"duckdb_extension_{name}")
    assert found is not None, name
    assert found.submodule_search_locations is not None, name
    [path] = Path(found.submodule_search_locations[0]).rglob(f"{name}.duckdb_extension")
    return str(path)


@contextmanager
def duckdb_connection() -> Iterator[Any]:
    """A DuckDB connection with the extensions that read lakes, and no others."""
    import duckdb

    with duckdb.connect(
        config={"autoinstall_known_extensions": False, "autoload_known_extensions": False}
    ) as made:
        made.execute("SET TimeZone = 'UTC'")
        for name in ("avro", "iceberg", "delta"):
            made.execute(f"LOAD '{extension(name)}'")
        yield made


def by_duckdb(table: dict[str, Any]) -> pa.Table:
    """Read a table with iceberg_scan or delta_scan."""
    with duckdb_connection() as connection:
        return connection.sql(f"FROM {duckdb_scan(table)}").to_arrow_table()


def duckdb_scan(table: dict[str, Any]) -> str:
    """The SQL call that reads a table, in its current state or at an earlier commit."""
    if table["kind"] == "iceberg":
        earlier = f", snapshot_from_id = {table['version']}" if table["version"] else ""
        return f"iceberg_scan('{table['metadata']}'{earlier})"
    earlier = f", version = {table['version']}" if table["version"] else ""
    return f"delta_scan('{table['path']}'{earlier})"


def by_daft(table: dict[str, Any]) -> pa.Table:
    """Read a table with Daft, on its configured runner."""
    import daft

    version = int(table["version"]) if table["version"] else None
    if table["kind"] == "delta":
        return daft.read_deltalake(table["path"], version=version).to_arrow()
    from pyiceberg.table import StaticTable

    return daft.read_iceberg(StaticTable.from_metadata(table["metadata"]), snapshot_id=version).to_arrow()


def on_ray() -> Read:
    """Start Ray with two processors, and return a reader that uses Daft on it."""
    os.environ |= {"DAFT_PROGRESS_BAR": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    import daft
    import ray

    # The folder's path must be short: the paths of Ray's sockets have a limited length.
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        logging_level="ERROR",
        log_to_driver=False,
        _temp_dir=tempfile.mkdtemp(),
    )
    daft.set_runner_ray()
    return by_daft


class Sail:
    """Spark SQL on Sail's server, over Spark Connect."""

    def __init__(self) -> None:
        from pysail.spark import SparkConnectServer
        from pyspark.sql import SparkSession

        self.server = SparkConnectServer("127.0.0.1", 0)
        self.server.start(background=True)
        _, port = self.server.listening_address
        self.spark: Any = SparkSession.builder.remote(f"sc://127.0.0.1:{port}").getOrCreate()
        self.spark.conf.set("spark.sql.session.timeZone", "UTC")

    def read(self, table: dict[str, Any]) -> pa.Table:
        """Read a table with spark.read, in its current state or at an earlier commit."""
        return self.frame(table).toArrow()

    def frame(self, table: dict[str, Any]) -> Any:
        """The Spark data frame of a table."""
        reader = self.spark.read.format(table["kind"])
        if table["version"]:
            name = "snapshotId" if table["kind"] == "iceberg" else "versionAsOf"
            reader = reader.option(name, table["version"])
        return reader.load(table["path"])

    def ask(self, tables: list[dict[str, Any]], sql: str) -> pa.Table:
        """Run a query in Spark SQL on the tables."""
        for table in tables:
            self.frame(table).createOrReplaceTempView(table["name"])
        return self.spark.sql(sql).toArrow()


def ask_duckdb(tables: list[dict[str, Any]], sql: str) -> pa.Table:
    """Run a query in DuckDB on the tables."""
    with duckdb_connection() as connection:
        for table in tables:
            connection.execute(f"CREATE VIEW {table['name']} AS FROM {duckdb_scan(table)}")
        return connection.sql(sql).to_arrow_table()


def main() -> NoReturn:
    """Read all tables and run all queries with each reader."""
    wanted = json.load(sys.stdin)
    out, failed = Path(wanted["out"]), 0
    sail = Sail() if "sail" in wanted["readers"] else None
    readers = {name: reader(name, sail) for name in wanted["readers"]}
    jobs: list[tuple[str, Callable[[], pa.Table]]] = [
        (f"{reader}-{each['kind']}-{each['name']}{'-earlier' if each['version'] else ''}", bind(read, each))
        for reader, read in readers.items()
        for each in wanted["tables"]
    ]
    for kind in ("iceberg", "delta"):
        now = [each for each in wanted["asked"] if each["kind"] == kind]
        for number, sql in enumerate(wanted["questions"]):
            if "duckdb" in readers:
                jobs.append((f"duckdb-{kind}-question-{number}", bind(ask_duckdb, now, sql)))
            if sail is not None:
                jobs.append((f"sail-{kind}-question-{number}", bind(sail.ask, now, sql)))
    for name, job in jobs:
        failed += not made(name, job, out)
    sys.stdout.flush()
    if "ray" in readers:
        import ray

        ray.shutdown()
    # This exit does not wait for Sail's server or Daft's threads.
    os._exit(1 if failed else 0)


def reader(name: str, sail: Sail | None) -> Read:
    """The reader with this name."""
    if name == "ray":
        return on_ray()
    if name == "sail" and sail is not None:
        return sail.read
    return {"duckdb": by_duckdb, "daft": by_daft}[name]


def bind(call: Callable[..., pa.Table], *given: Any) -> Callable[[], pa.Table]:
    """A function without parameters that makes a call."""
    return lambda: call(*given)


def made(name: str, job: Callable[[], pa.Table], out: Path) -> bool:
    """Run a job and write its rows to a file; return whether it succeeded."""
    began = time.monotonic()
    try:
        table = job()
        pq.write_table(table, out / f"{name}.parquet")
    except Exception as error:  # noqa: BLE001 - each engine has errors of its own
        text = " ".join(str(error).split())[:300]
        sys.stdout.write(f"{name}: FAILED: {type(error).__name__}: {text}\n")
        return False
    sys.stdout.write(f"{name}: {table.num_rows} rows, {time.monotonic() - began:.2f} s\n")
    sys.stdout.flush()
    return True


if __name__ == "__main__":
    main()
