"""A peer: aiobotocore with 16 images at a time on one event loop, and Arrow.

Must not change how botocore parses.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session

from tests.benchmarks.peers import columns, common


def main() -> None:
    """Fetch the changed versions, merge them, and publish."""
    database = common.connect(primary_key=True)
    rows = columns.of_items(asyncio.run(_all(common.watermarks(database))))
    if rows.num_rows:
        common.upsert(database, rows)
    common.publish(database)


async def _all(known: dict[str, float]) -> list[tuple[str, list[dict[str, Any]]]]:
    # aiobotocore's standard retry mode waits longer than the adaptive mode.
    config = AioConfig(max_pool_connections=common.THREADS, retries={"mode": "adaptive", "max_attempts": 20})
    async with get_session().create_client("sagemaker", config=config) as client:
        paging = client.get_paginator("list_images").paginate(PaginationConfig={"PageSize": common.PAGE_SIZE})
        names = [image["ImageName"] async for page in paging for image in page["Images"]]
        places = asyncio.Semaphore(common.THREADS)
        return await asyncio.gather(*(_versions(client, name, known, places) for name in names))


async def _versions(
    client: Any, name: str, known: dict[str, float], places: asyncio.Semaphore
) -> tuple[str, list[dict[str, Any]]]:
    asked: dict[str, Any] = {"ImageName": name, "PaginationConfig": {"PageSize": common.PAGE_SIZE}}
    if name in known:
        asked["LastModifiedTimeAfter"] = datetime.fromtimestamp(known[name], UTC)
    async with places:
        paging = client.get_paginator("list_image_versions").paginate(**asked)
        return name, [version async for page in paging for version in page["ImageVersions"]]


if __name__ == "__main__":
    main()
