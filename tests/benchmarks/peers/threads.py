"""A peer: boto3 on 16 threads, each with one image at a time, and Arrow instead of pandas.

Must not change how boto3 parses.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3

from tests.benchmarks.peers import columns, common


def main() -> None:
    """Fetch the changed versions, merge them, and publish."""
    client = boto3.client("sagemaker", config=common.client_config())
    database = common.connect(primary_key=True)
    known = common.watermarks(database)
    pages = client.get_paginator("list_images").paginate(PaginationConfig={"PageSize": common.PAGE_SIZE})
    names = [image["ImageName"] for page in pages for image in page["Images"]]
    with ThreadPoolExecutor(common.THREADS) as pool:
        items = list(pool.map(lambda name: versions(client, name, known), names))
    rows = columns.of_items(items)
    if rows.num_rows:
        common.upsert(database, rows)
    common.publish(database)


def versions(client: Any, name: str, known: dict[str, float]) -> tuple[str, list[dict[str, Any]]]:
    """The changed versions of one image."""
    asked: dict[str, Any] = {"ImageName": name, "PaginationConfig": {"PageSize": common.PAGE_SIZE}}
    if name in known:
        asked["LastModifiedTimeAfter"] = datetime.fromtimestamp(known[name], UTC)
    pages = client.get_paginator("list_image_versions").paginate(**asked)
    return name, [version for page in pages for version in page["ImageVersions"]]


if __name__ == "__main__":
    main()
