"""A peer: the usual first version, with boto3's paginators in sequence, pandas, and ON CONFLICT.

Must not be optimized.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import boto3
import pandas as pd

from tests.benchmarks.peers import common


def main() -> None:
    """Fetch the changed versions, merge them, and publish."""
    client = boto3.client("sagemaker", config=common.client_config())
    database = common.connect(primary_key=True)
    known = common.watermarks(database)
    rows: list[dict[str, Any]] = []
    for page in client.get_paginator("list_images").paginate(PaginationConfig={"PageSize": common.PAGE_SIZE}):
        for image in page["Images"]:
            rows += _versions(client, image["ImageName"], known)
    if rows:
        common.upsert(database, pd.DataFrame(rows))
    common.publish(database)


def _versions(client: Any, image_name: str, known: dict[str, float]) -> list[dict[str, Any]]:
    asked: dict[str, Any] = {"ImageName": image_name, "PaginationConfig": {"PageSize": common.PAGE_SIZE}}
    if image_name in known:
        asked["LastModifiedTimeAfter"] = datetime.fromtimestamp(known[image_name], UTC)
    return [
        {
            "image_name": image_name,
            "version": version["Version"],
            "image_arn": version["ImageArn"],
            "image_version_arn": version["ImageVersionArn"],
            "image_version_status": version["ImageVersionStatus"],
            "failure_reason": version.get("FailureReason"),
            "creation_time": version["CreationTime"],
            "last_modified_time": version["LastModifiedTime"],
        }
        for page in client.get_paginator("list_image_versions").paginate(**asked)
        for version in page["ImageVersions"]
    ]


if __name__ == "__main__":
    main()
