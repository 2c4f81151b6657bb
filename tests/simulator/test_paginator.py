"""Every option of unmodified boto3's paginators."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest

from image_history.simulator import Simulator, VersionTruth, generate

if TYPE_CHECKING:
    import boto3

SORTS = {
    "CREATION_TIME": lambda row: row.creation_ms,
    "LAST_MODIFIED_TIME": lambda row: row.last_modified_ms,
    "VERSION": lambda row: row.version,
}
FILTERS = ("CreationTimeAfter", "CreationTimeBefore", "LastModifiedTimeAfter", "LastModifiedTimeBefore")
SUBSETS = [
    pytest.param(subset, id="+".join(subset) or "none")
    for size in range(5)
    for subset in itertools.combinations(FILTERS, size)
]


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    """A server whose world does not change."""
    with Simulator(generate(11, images=2, versions_per_image=57)) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def image(simulator: Simulator) -> str:
    """The name of the listed image."""
    return simulator.world.image_truth()[0].image_name


@pytest.fixture(scope="module")
def truth(simulator: Simulator, image: str) -> list[VersionTruth]:
    """The image's versions, by number."""
    return simulator.world.truth(image_name=image)


@pytest.fixture(scope="module")
def paginator(simulator: Simulator, session: boto3.Session) -> Any:
    """The paginator of an unmodified client."""
    environment = simulator.environment()
    sagemaker = session.client(
        "sagemaker",
        endpoint_url=simulator.url,
        region_name="us-east-1",
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key="any",
    )
    return sagemaker.get_paginator("list_image_versions")


def bounds(truth: list[VersionTruth], subset: tuple[str, ...]) -> dict[str, datetime]:
    """Filters around the middle of the existing times, in whole seconds: boto3 sends no others."""
    creation = sorted(row.creation_ms for row in truth)
    modified = sorted(row.last_modified_ms for row in truth)
    seconds = {
        "CreationTimeAfter": creation[10] // 1000,
        "CreationTimeBefore": creation[-10] // 1000,
        "LastModifiedTimeAfter": modified[15] // 1000,
        "LastModifiedTimeBefore": modified[-15] // 1000,
    }
    return {name: datetime.fromtimestamp(seconds[name], UTC) for name in subset}


def passes(row: VersionTruth, limits: dict[str, datetime]) -> bool:
    """Whether a version satisfies all filters, in whole milliseconds."""
    ms = {name: int(limit.timestamp()) * 1000 for name, limit in limits.items()}
    return (
        row.creation_ms >= ms.get("CreationTimeAfter", 0)
        and row.creation_ms <= ms.get("CreationTimeBefore", 1 << 60)
        and row.last_modified_ms >= ms.get("LastModifiedTimeAfter", 0)
        and row.last_modified_ms <= ms.get("LastModifiedTimeBefore", 1 << 60)
    )


def versions(pages: Any) -> list[int]:
    """The version numbers of all pages."""
    return [row["Version"] for page in pages for row in page["ImageVersions"]]


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("order", ["ASCENDING", "DESCENDING"])
@pytest.mark.parametrize("sort", SORTS)
def test_paginate_any_filters_and_order(  # noqa: PLR0917 - fixtures
    paginator: Any, image: str, truth: list[VersionTruth], sort: str, order: str, subset: tuple[str, ...]
) -> None:
    """Every combination of the four filters, sort keys and orders returns the true versions in order."""
    limits = bounds(truth, subset)
    found = versions(
        paginator.paginate(
            ImageName=image, SortBy=sort, SortOrder=order, PaginationConfig={"PageSize": 20}, **limits
        )
    )
    wanted = sorted(truth, key=SORTS[sort], reverse=order == "DESCENDING")
    assert found == [row.version for row in wanted if passes(row, limits)]
    assert not subset or len(found) < len(truth)


def test_paginate_no_parameters_is_newest_first_by_ten(
    paginator: Any, image: str, truth: list[VersionTruth]
) -> None:
    """Without parameters, versions are sorted by creation time, newest first, in pages of ten."""
    pages = [
        [row["Version"] for row in page["ImageVersions"]] for page in paginator.paginate(ImageName=image)
    ]
    assert [len(page) for page in pages] == [10, 10, 10, 10, 10, 7]
    assert list(chain.from_iterable(pages)) == [row.version for row in reversed(truth)]


@pytest.mark.parametrize(("items", "size"), [(1, 100), (20, 10), (25, 10), (56, 7), (57, 57), (1000, 100)])
def test_paginate_max_items_resumes(
    paginator: Any, image: str, truth: list[VersionTruth], items: int, size: int
) -> None:
    """MaxItems ends a listing at any item, and StartingToken continues it from there to its end."""
    found, token = [], None
    while True:
        config = {"MaxItems": items, "PageSize": size, "StartingToken": token}
        result = paginator.paginate(
            ImageName=image, SortBy="VERSION", SortOrder="ASCENDING", PaginationConfig=config
        ).build_full_result()
        found.append([row["Version"] for row in result["ImageVersions"]])
        token = result.get("NextToken")
        if token is None:
            break
    assert list(chain.from_iterable(found)) == [row.version for row in truth]
    assert all(len(part) == items for part in found[:-1])


def test_paginate_members_equal_the_truth(paginator: Any, image: str, truth: list[VersionTruth]) -> None:
    """The members of every row equal the truth, with times exact to the millisecond."""
    rows = paginator.paginate(
        ImageName=image, SortBy="VERSION", SortOrder="ASCENDING", PaginationConfig={"PageSize": 100}
    ).build_full_result()["ImageVersions"]
    assert [
        (
            row["ImageArn"],
            row["ImageVersionArn"],
            row["ImageVersionStatus"],
            row.get("FailureReason"),
            round(row["CreationTime"].timestamp() * 1000),
            round(row["LastModifiedTime"].timestamp() * 1000),
        )
        for row in rows
    ] == [
        (
            row.image_arn,
            row.image_version_arn,
            row.status,
            row.failure_reason,
            row.creation_ms,
            row.last_modified_ms,
        )
        for row in truth
    ]


@pytest.mark.parametrize("sort", ["CREATION_TIME", "LAST_MODIFIED_TIME", "IMAGE_NAME"])
@pytest.mark.parametrize("order", ["ASCENDING", "DESCENDING"])
def test_paginate_images(session: boto3.Session, sort: str, order: str) -> None:
    """ListImages sorts by each of its keys, and filters by a part of the name."""
    with Simulator(generate(5, images=43, versions_per_image=1)) as simulator:
        environment = simulator.environment()
        sagemaker = session.client(
            "sagemaker",
            endpoint_url=simulator.url,
            region_name="us-east-1",
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key="any",
        )
        pages = sagemaker.get_paginator("list_images").paginate(
            SortBy=sort, SortOrder=order, NameContains="in", PaginationConfig={"PageSize": 4}
        )
        found = [row["ImageName"] for page in pages for row in page["Images"]]
        key = {
            "CREATION_TIME": lambda row: row.creation_ms,
            "LAST_MODIFIED_TIME": lambda row: row.last_modified_ms,
            "IMAGE_NAME": lambda row: row.image_name,
        }[sort]
        wanted = sorted(simulator.world.image_truth(), key=key, reverse=order == "DESCENDING")
        assert found == [row.image_name for row in wanted if "in" in row.image_name]
        assert len(found) > 4
        sagemaker.close()
