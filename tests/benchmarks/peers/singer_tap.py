"""A Singer tap with singer-sdk: images, and their versions with LastModifiedTime as replication key.

Must not know the target.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar

import boto3
from singer_sdk import Stream, Tap
from singer_sdk import typing as th

from tests.benchmarks.peers import common


class Images(Stream):
    """The images: the parent stream of the versions."""

    name = "images"
    primary_keys: ClassVar[tuple[str, ...]] = ("image_name",)
    # target-duckdb fails with DuckDB 1.5 on a table that has only its key.
    schema = th.PropertiesList(
        th.Property("image_name", th.StringType), th.Property("image_status", th.StringType)
    ).to_dict()
    selected_by_default = True

    def get_records(self, context: Mapping[str, Any] | None) -> Iterable[dict[str, Any]]:
        pages = client().get_paginator("list_images")
        for page in pages.paginate(PaginationConfig={"PageSize": common.PAGE_SIZE}):
            for image in page["Images"]:
                yield {"image_name": image["ImageName"], "image_status": image["ImageStatus"]}

    def get_child_context(self, record: Any, context: Any) -> dict[str, Any]:
        return {"image_name": record["image_name"]}


class Versions(Stream):
    """The changed versions of one image."""

    name = "image_versions"
    parent_stream_type = Images
    primary_keys: ClassVar[tuple[str, ...]] = ("image_name", "version")
    replication_key = "last_modified_time"
    is_sorted = False
    schema = th.PropertiesList(
        th.Property("image_name", th.StringType),
        th.Property("version", th.IntegerType),
        th.Property("image_arn", th.StringType),
        th.Property("image_version_arn", th.StringType),
        th.Property("image_version_status", th.StringType),
        th.Property("failure_reason", th.StringType),
        th.Property("creation_time", th.DateTimeType),
        th.Property("last_modified_time", th.DateTimeType),
    ).to_dict()

    def get_records(self, context: Mapping[str, Any] | None) -> Iterable[dict[str, Any]]:
        name = (context or {})["image_name"]
        asked: dict[str, Any] = {"ImageName": name, "PaginationConfig": {"PageSize": common.PAGE_SIZE}}
        since: datetime | None = self.get_starting_timestamp(context)
        if since is not None:
            asked["LastModifiedTimeAfter"] = since
        for page in client().get_paginator("list_image_versions").paginate(**asked):
            for version in page["ImageVersions"]:
                yield _record(name, version)


def _record(name: str, version: dict[str, Any]) -> dict[str, Any]:
    return {
        "image_name": name,
        "version": version["Version"],
        "image_arn": version["ImageArn"],
        "image_version_arn": version["ImageVersionArn"],
        "image_version_status": version["ImageVersionStatus"],
        "failure_reason": version.get("FailureReason"),
        "creation_time": version["CreationTime"].isoformat(),
        "last_modified_time": version["LastModifiedTime"].isoformat(),
    }


_clients: list[Any] = []


def client() -> Any:
    """The client that the whole process shares."""
    if not _clients:
        _clients.append(boto3.client("sagemaker", config=common.client_config()))
    return _clients[0]


class ImageTap(Tap):
    """The tap of both streams."""

    name = "tap-images"
    config_jsonschema = th.PropertiesList().to_dict()

    def discover_streams(self) -> list[Stream]:
        return [Images(self), Versions(self)]


if __name__ == "__main__":
    ImageTap.cli()
