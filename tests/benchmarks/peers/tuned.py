"""A peer: boto3 with public hooks only; a handler decodes the raw body into typed structs before botocore does.

Must not do anything for safety: no landing, no fsync, no checkpoints, no checks.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import boto3

from tests.benchmarks.peers import columns, common, typed


def main() -> None:
    """Fetch the changed versions, merge them, and publish."""
    client = boto3.client("sagemaker", config=common.client_config())
    for operation in typed.DECODERS:
        client.meta.events.register(f"before-parse.sagemaker.{operation}", _decode)
    database = common.connect(primary_key=False)
    known = common.watermarks(database)
    names = [image.ImageName for page in _pages(client.list_images, {}) for image in page.Images]
    with ThreadPoolExecutor(common.THREADS) as pool:
        items = list(pool.map(lambda name: _versions(client, name, known), names))
    rows = columns.of_structs(items)
    if rows.num_rows:
        common.replace(database, rows)
    common.publish(database)


def _decode(operation_model: Any, response_dict: Any, customized_response_dict: Any, **_: object) -> None:
    if response_dict["status_code"] < 300:
        decoder = typed.DECODERS[operation_model.name]
        customized_response_dict["Decoded"] = decoder.decode(response_dict["body"])
        response_dict["body"] = b"{}"


def _pages(call: Any, asked: dict[str, Any]) -> list[Any]:
    pages = [call(MaxResults=common.PAGE_SIZE, **asked)["Decoded"]]
    while (token := pages[-1].NextToken) is not None:
        pages.append(call(MaxResults=common.PAGE_SIZE, NextToken=token, **asked)["Decoded"])
    return pages


def _versions(client: Any, name: str, known: dict[str, float]) -> tuple[str, list[typed.Version]]:
    asked: dict[str, Any] = {"ImageName": name}
    if name in known:
        asked["LastModifiedTimeAfter"] = datetime.fromtimestamp(known[name], UTC)
    pages = _pages(client.list_image_versions, asked)
    return name, [version for page in pages for version in page.ImageVersions]


if __name__ == "__main__":
    main()
