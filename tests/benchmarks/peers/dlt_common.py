"""The shared parts of the two dlt peers: the pipeline into DuckDB, and fetching on 16 threads.

Must not know in which form dlt gets the rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import dlt
import duckdb

from tests.benchmarks.peers import common, threads

KEY = ("image_name", "version")
_NAMES = (
    "image_name, version, image_arn, image_version_arn, image_version_status, {reason} AS failure_reason, "
    "creation_time, last_modified_time"
)


def fetched() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The changed versions, by image."""
    client = boto3.client("sagemaker", config=common.client_config())
    known = _watermarks()
    pages = client.get_paginator("list_images").paginate(PaginationConfig={"PageSize": common.PAGE_SIZE})
    names = [image["ImageName"] for page in pages for image in page["Images"]]
    with ThreadPoolExecutor(common.THREADS) as pool:
        yield from pool.map(lambda name: threads.versions(client, name, known), names)


def _watermarks() -> dict[str, float]:
    with duckdb.connect(common.DATABASE) as database:
        there = database.execute(
            "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'bench'"
        ).fetchall()
        if ("image_versions",) not in there:
            return {}
        found: list[tuple[str, float]] = database.execute(
            "SELECT image_name, epoch_ms(max(last_modified_time)) / 1000 FROM bench.image_versions GROUP BY 1"
        ).fetchall()
        return dict(found)


def run(resource: Any) -> None:
    """Run the pipeline, and write the loaded rows to the Parquet file."""
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(Path("dlt").absolute()),
        destination=dlt.destinations.duckdb(str(common.DATABASE)),
        dataset_name="bench",
    )
    pipeline.run(resource).raise_on_failed_jobs()
    with duckdb.connect(common.DATABASE) as database:
        there = database.execute("SELECT column_name FROM (DESCRIBE bench.image_versions)").fetchall()
        # dlt creates no column for a member that never had a value.
        reason = "failure_reason" if ("failure_reason",) in there else "NULL::VARCHAR"
        common.publish(database, f"(SELECT {_NAMES.format(reason=reason)} FROM bench.image_versions)")
