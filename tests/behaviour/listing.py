"""What the tests of `list` share: a simulated AWS, the command in this process, and boto3's own paginator.

Must not know what a test asks for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3

from image_history.cli import run
from image_history.simulator import Simulator

if TYPE_CHECKING:
    import pytest

COLUMNS = (
    "image_name",
    "version",
    "image_version_status",
    "failure_reason",
    "creation_time",
    "last_modified_time",
    "image_arn",
    "image_version_arn",
)
Row = tuple[object, ...]
Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Ran:
    """The exit code and the output of one command."""

    code: int
    output: str
    errors: str

    @property
    def rows(self) -> list[Row]:
        """The printed rows of `--format json`, comparable to those of `boto_rows`."""
        return [comparable(row) for row in json.loads(self.output)["ImageVersions"]]

    @property
    def token(self) -> str | None:
        """The token to continue with, from the JSON object."""
        token: str | None = json.loads(self.output).get("NextToken")
        return token


def comparable(row: Mapping[str, Any]) -> Row:
    """A printed row with its instants as milliseconds."""
    return tuple(
        milliseconds(datetime.fromisoformat(row[name])) if name.endswith("_time") else row[name]
        for name in COLUMNS
    )


def milliseconds(moment: datetime) -> int:
    """Integer epoch milliseconds of an aware instant."""
    assert moment.tzinfo is not None
    return round(moment.timestamp() * 1000)


@dataclass(frozen=True, slots=True)
class Tool:
    """`image-history list` and boto3's paginator, side by side on one simulated AWS."""

    simulator: Simulator
    image: str
    client: Any
    capsys: pytest.CaptureFixture[str]

    def command(self, *arguments: str) -> Ran:
        """Run `image-history` in this process."""
        self.capsys.readouterr()
        code = run(arguments)
        said = self.capsys.readouterr()
        return Ran(code, said.out, said.err)

    def listed(self, *arguments: str) -> Ran:
        """Run `image-history list IMAGE --format json`, which must succeed."""
        ran = self.command("list", self.image, "--format", "json", *arguments)
        assert ran.code == 0, ran.errors
        return ran

    def boto_rows(self, parameters: Parameters | None = None, **paging: object) -> list[Row]:
        """The rows of boto3's unmodified paginator."""
        return self.boto(parameters, **paging)[0]

    def boto(self, parameters: Parameters | None = None, **paging: object) -> tuple[list[Row], str | None]:
        """The rows of boto3's unmodified paginator, and its token to continue with."""
        paginator = self.client.get_paginator("list_image_versions")
        pages = paginator.paginate(ImageName=self.image, **(parameters or {}), PaginationConfig=paging)
        found = pages.build_full_result()
        return [boto_row(self.image, row) for row in found["ImageVersions"]], found.get("NextToken")


def boto_row(image: str, row: Mapping[str, Any]) -> Row:
    """One of boto3's rows, in the order of COLUMNS."""
    return (
        image,
        row["Version"],
        row["ImageVersionStatus"],
        row.get("FailureReason"),
        milliseconds(row["CreationTime"]),
        milliseconds(row["LastModifiedTime"]),
        row["ImageArn"],
        row["ImageVersionArn"],
    )


def unmodified_client(simulator: Simulator) -> Any:
    """A boto3 client as any program would make it."""
    environment = simulator.environment()
    return boto3.Session().client(
        "sagemaker",
        endpoint_url=simulator.url,
        region_name=environment["AWS_DEFAULT_REGION"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )


def options(parameters: Parameters) -> Sequence[str]:
    """The command's options for boto3's parameters."""
    return [
        part
        for name, value in parameters.items()
        for part in (_option(name), value.isoformat() if isinstance(value, datetime) else str(value))
    ]


def _option(member: str) -> str:
    return "-" + "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in member)
