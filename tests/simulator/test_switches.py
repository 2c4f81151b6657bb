"""Every switch of the simulated service, tested with unmodified boto3."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from image_history.errors import ConfigError
from image_history.simulator import Behaviour, Simulator, VersionRecord, VirtualClock, World

Serve = Callable[..., Simulator]
Clients = Callable[..., Any]
Pages = Callable[..., list[list[int]]]
ASCENDING = {"SortBy": "VERSION", "SortOrder": "ASCENDING", "MaxResults": 2}


def refused(call: Callable[[], Any]) -> str:
    """Check that a call fails, and return its error code."""
    with pytest.raises(ClientError) as caught:
        call()
    return str(caught.value.response["Error"]["Code"])


def first_page(client: Any, **parameters: Any) -> tuple[list[int], str]:
    """The version numbers of the first page of `base`, and its token."""
    page = client.list_image_versions(**{"ImageName": "base", **ASCENDING, **parameters})
    return [row["Version"] for row in page["ImageVersions"]], page["NextToken"]


def next_page(client: Any, token: str, **parameters: Any) -> list[int]:
    """The version numbers of the page of a token."""
    page = client.list_image_versions(**{"ImageName": "base", **ASCENDING, "NextToken": token, **parameters})
    return [row["Version"] for row in page["ImageVersions"]]


def test_filtering_after_paging_gives_empty_pages(
    world: World, serve: Serve, client: Clients, pages: Pages
) -> None:
    """If AWS filters after paging, an empty page still has a token."""
    simulator = serve(world)
    sagemaker = client(simulator)
    after = (world.truth()[3].last_modified_ms + 999) // 1000
    wanted = {**ASCENDING, "LastModifiedTimeAfter": after, "MaxResults": 1}
    assert pages(sagemaker, **wanted) == [[5]]
    simulator.behaviour = replace(simulator.behaviour, filtering="page_then_filter")
    assert pages(sagemaker, **wanted) == [[], [], [], [], [5]]


@pytest.mark.parametrize(
    ("filters", "after", "before"),
    [("inclusive", [3, 4, 5], [1, 2, 3]), ("exclusive", [4, 5], [1, 2]), ("ignored", [1, 2, 3, 4, 5], None)],
)
@pytest.mark.parametrize("member", ["CreationTime", "LastModifiedTime"])
def test_filters_at_their_bounds(  # noqa: PLR0917 - fixtures
    serve: Serve,
    client: Clients,
    pages: Pages,
    filters: str,
    after: list[int],
    before: list[int] | None,
    member: str,
) -> None:
    """A version exactly at a bound passes an inclusive or ignored filter, but not an exclusive one."""
    world = World(clock=VirtualClock(frozen_at=1_790_000_000_000))
    world.create_image("base")
    for _ in range(5):
        world.clock.advance(1_000)
        world.create_version("base")
    sagemaker = client(serve(world, filters=filters))
    bound = 1_790_000_003
    order = {**ASCENDING, "MaxResults": 100}
    assert pages(sagemaker, **order, **{f"{member}After": bound}) == [after]
    assert pages(sagemaker, **order, **{f"{member}Before": bound}) == [before or after]


def test_filters_compare_milliseconds(world: World, serve: Serve, client: Clients, pages: Pages) -> None:
    """A version created within a second is after the second's start, not before it."""
    sagemaker = client(serve(world))
    second = world.truth()[2].creation_ms // 1000
    assert world.truth()[2].creation_ms % 1000
    order = {**ASCENDING, "MaxResults": 100}
    assert pages(sagemaker, **order, CreationTimeBefore=second) == [[1, 2]]
    assert pages(sagemaker, **order, CreationTimeAfter=second) == [[3, 4, 5]]


def test_ties_follow_the_switch(serve: Serve, client: Clients, pages: Pages) -> None:
    """Versions with equal times are ascending, descending or shuffled by seed, the same in both sort orders."""
    world = World(clock=VirtualClock(frozen_at=1_790_000_000_000))
    world.create_image("base")
    for _ in range(30):
        world.create_version("base")
    simulator = serve(world)
    sagemaker = client(simulator)
    found = {}
    for tie_order, tie_seed in (("ascending", 0), ("descending", 0), ("shuffled", 1), ("shuffled", 2)):
        simulator.behaviour = Behaviour(tie_order=tie_order, tie_seed=tie_seed)  # type: ignore[arg-type]
        for order in ("ASCENDING", "DESCENDING"):
            listed = pages(sagemaker, SortBy="CREATION_TIME", SortOrder=order, MaxResults=7)
            found[tie_order, tie_seed, order] = [version for page in listed for version in page]
    upwards, downwards = list(range(1, 31)), list(range(30, 0, -1))
    for order in ("ASCENDING", "DESCENDING"):
        assert found["ascending", 0, order] == upwards
        assert found["descending", 0, order] == downwards
        for seed in (1, 2):
            assert found["shuffled", seed, order] == found["shuffled", seed, "ASCENDING"]
    first, second = (found["shuffled", seed, "ASCENDING"] for seed in (1, 2))
    assert sorted(first) == sorted(second) == upwards
    assert len({tuple(each) for each in (first, second, upwards, downwards)}) == 4


def test_arns_follow_the_switches(world: World, serve: Serve, client: Clients) -> None:
    """Names in ARNs are as they are or in lower case, or a version ARN is `None`; the truth has the same ARNs."""
    world.create_image("Py-Torch")
    world.create_version("Py-Torch")
    simulator = serve(world)
    sagemaker = client(simulator)
    cases: dict[str, dict[str, Any]] = {
        "Py-Torch/1": {},
        "py-torch/1": {"lowercase_arns": True},
        "None": {"arn_none": True},
    }
    for ending, switches in cases.items():
        simulator.behaviour = replace(Behaviour(), **switches)
        row = sagemaker.list_image_versions(ImageName="Py-Torch")["ImageVersions"][0]
        described = sagemaker.describe_image_version(ImageName="Py-Torch")
        truth = world.truth(image_name="Py-Torch")[0]
        assert row["ImageVersionArn"].endswith(ending)
        assert row["ImageVersionArn"] == described["ImageVersionArn"] == truth.image_version_arn
        assert row["ImageArn"] == described["ImageArn"] == truth.image_arn
        assert sagemaker.describe_image(ImageName="Py-Torch")["ImageName"] == "Py-Torch"


@pytest.mark.parametrize(
    ("region", "forced", "partition"),
    [
        ("eu-west-1", None, "aws"),
        ("us-gov-west-1", None, "aws-us-gov"),
        ("cn-north-1", None, "aws-cn"),
        ("eu-west-1", "aws-iso", "aws-iso"),
    ],
)
def test_partition_follows_the_region(
    serve: Serve, client: Clients, region: str, forced: str | None, partition: str
) -> None:
    """ARNs of SageMaker and STS have the region's partition, or the forced one."""
    world = World(regions=[region])
    world.create_image("base")
    simulator = serve(world, partition=forced)
    arn = client(simulator).describe_image(ImageName="base")["ImageArn"]
    assert arn == f"arn:{partition}:sagemaker:{region}:111122223333:image/base"
    identity = client(simulator, service="sts").get_caller_identity()
    assert identity["Arn"].startswith(f"arn:{partition}:iam::111122223333:")


@pytest.mark.parametrize("bumps", [False, True])
def test_alias_moves_bump_last_modified(world: World, serve: Serve, client: Clients, bumps: bool) -> None:
    """With the switch, moving an alias changes LastModifiedTime of both versions; without it, of none."""
    world.move_alias("base", "stable", 1)
    sagemaker = client(serve(world, alias_bumps_last_modified=bumps))
    before = {row.version: row.last_modified_ms for row in world.truth()}
    world.clock.advance(5_000)
    world.move_alias("base", "stable", 2)
    after = {row.version: row.last_modified_ms for row in world.truth()}
    assert [version for version in after if after[version] != before[version]] == ([1, 2] if bumps else [])
    assert sagemaker.list_aliases(ImageName="base", Version=1)["SageMakerImageVersionAliases"] == []
    assert sagemaker.list_aliases(ImageName="base", Version=2)["SageMakerImageVersionAliases"] == ["stable"]
    assert sagemaker.describe_image_version(ImageName="base", Alias="stable")["Version"] == 2


def test_lists_lag_behind_describe(world: World, serve: Serve, client: Clients, pages: Pages) -> None:
    """Within the lag, lists return the former versions, aliases and images; Describe returns the current state."""
    sagemaker = client(serve(world, list_lag_ms=3_000))
    world.clock.advance(10_000)
    world.create_version("base", aliases=["new"])
    world.delete_version("base", 2)
    world.set_status("base", 3, "DELETE_FAILED")
    world.create_image("late")
    everything = {**ASCENDING, "MaxResults": 100}

    def seen() -> tuple[Any, ...]:
        rows = sagemaker.list_image_versions(ImageName="base", **everything)["ImageVersions"]
        return (
            [row["Version"] for row in rows],
            {row["ImageVersionStatus"] for row in rows},
            sagemaker.list_aliases(ImageName="base")["SageMakerImageVersionAliases"],
            sorted(image["ImageName"] for image in sagemaker.list_images()["Images"]),
        )

    assert sagemaker.describe_image_version(ImageName="base")["Version"] == 6
    assert (
        refused(lambda: sagemaker.describe_image_version(ImageName="base", Version=2)) == "ResourceNotFound"
    )
    world.clock.advance(2_999)
    assert seen() == ([1, 2, 3, 4, 5], {"CREATED"}, [], ["base"])
    assert refused(lambda: sagemaker.list_image_versions(ImageName="late")) == "ResourceNotFound"
    world.clock.advance(1)
    assert seen() == ([1, 3, 4, 5, 6], {"CREATED", "DELETE_FAILED"}, ["new"], ["base", "late"])
    world.delete_image("base")
    assert pages(sagemaker, **everything) == [[1, 3, 4, 5, 6]]
    assert refused(lambda: sagemaker.describe_image(ImageName="base")) == "ResourceNotFound"


def test_rate_limits_are_per_kind_and_scope(world: World, serve: Serve, client: Clients) -> None:
    """A call beyond the rate fails with a ThrottlingException; other kinds of calls and other regions succeed."""
    simulator = serve(world, list_per_second=0.001, describe_per_second=0.001)
    sagemaker, europe = client(simulator), client(simulator, region="eu-west-1")
    sagemaker.list_images()
    with pytest.raises(ClientError) as caught:
        sagemaker.list_image_versions(ImageName="base")
    assert caught.value.response["Error"] == {"Message": "Rate exceeded", "Code": "ThrottlingException"}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["content-length"] == "58"
    sagemaker.describe_image(ImageName="base")
    assert refused(lambda: sagemaker.describe_image(ImageName="base")) == "ThrottlingException"
    europe.list_images()
    assert simulator.counters.errors("ThrottlingException") == 2


def test_latency_delays_the_answer(
    world: World, serve: Serve, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server waits for the switch's latency before each response."""
    waited = []

    async def wait(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr("image_history.simulator.server.asyncio.sleep", wait)
    client(serve(world, latency_ms=250)).list_images()
    assert waited == [0.25]


def test_versions_pass_through_their_states(world: World, serve: Serve, client: Clients) -> None:
    """Creation and deletion take virtual time, and each change of state sets LastModifiedTime."""
    sagemaker = client(serve(world, create_ms=370, delete_ms=2_000))
    created_ms = world.clock.now_ms()
    assert world.create_version("base") == 6
    assert world.create_version("base", failure_reason="no permission") == 7

    def state(version: int) -> tuple[str, int, str | None]:
        row = sagemaker.describe_image_version(ImageName="base", Version=version)
        modified_ms = round(row["LastModifiedTime"].timestamp() * 1000)
        return row["ImageVersionStatus"], modified_ms - created_ms, row.get("FailureReason")

    world.clock.advance(369)
    assert (state(6), state(7)) == (("CREATING", 0, None), ("CREATING", 0, None))
    world.clock.advance(10_000)
    assert (state(6), state(7)) == (("CREATED", 370, None), ("CREATE_FAILED", 370, "no permission"))
    world.delete_version("base", 6)
    assert state(6) == ("DELETING", 10_369, None)
    world.clock.advance(2_000)
    assert refused(lambda: state(6)) == "ResourceNotFound"


def test_images_take_their_versions_with_them(world: World, serve: Serve, client: Clients) -> None:
    """A deleted image and its versions are DELETING, then gone; a new image of that name starts at version 1."""
    sagemaker = client(serve(world, delete_ms=1_000))
    arn = sagemaker.describe_image(ImageName="base")["ImageArn"]
    first_creation = sagemaker.describe_image_version(ImageName="base", Version=1)["CreationTime"]
    world.delete_image("base")
    assert sagemaker.describe_image(ImageName="base")["ImageStatus"] == "DELETING"
    rows = sagemaker.list_image_versions(ImageName="base")["ImageVersions"]
    assert {row["ImageVersionStatus"] for row in rows} == {"DELETING"}
    world.clock.advance(1_000)
    assert sagemaker.list_images()["Images"] == []
    assert refused(lambda: sagemaker.list_image_versions(ImageName="base")) == "ResourceNotFound"
    world.create_image("base")
    assert sagemaker.list_image_versions(ImageName="base")["ImageVersions"] == []
    assert world.create_version("base") == 1
    again = sagemaker.describe_image_version(ImageName="base")
    assert (again["Version"], again["ImageArn"]) == (1, arn)
    assert again["CreationTime"] > first_creation


def test_images_pass_through_creating(world: World, serve: Serve, client: Clients) -> None:
    """A new image is CREATING, then CREATED; an image that is deleted while CREATING does not reappear."""
    sagemaker = client(serve(world, create_ms=400, delete_ms=100))
    created_ms = world.clock.now_ms()
    world.create_image("slow")
    world.create_image("gone")
    world.delete_image("gone")
    assert sagemaker.describe_image(ImageName="slow")["ImageStatus"] == "CREATING"
    world.clock.advance(400)
    image = sagemaker.describe_image(ImageName="slow")
    assert image["ImageStatus"] == "CREATED"
    assert round(image["LastModifiedTime"].timestamp() * 1000) == created_ms + 400
    assert {row["ImageName"] for row in sagemaker.list_images()["Images"]} == {"base", "slow"}


def test_deletion_can_fail(world: World, serve: Serve, client: Clients) -> None:
    """A version that gets another status while it is DELETING is not deleted."""
    sagemaker = client(serve(world, delete_ms=100))
    world.delete_version("base", 2)
    world.set_status("base", 2, "DELETE_FAILED", failure_reason="in use")
    world.clock.advance(1_000)
    row = sagemaker.describe_image_version(ImageName="base", Version=2)
    assert (row["ImageVersionStatus"], row["FailureReason"]) == ("DELETE_FAILED", "in use")


def test_failed_creation_overtaken(world: World, serve: Serve) -> None:
    """A version that gets a status while it is CREATING keeps it."""
    serve(world, create_ms=100)
    version = world.create_version("base")
    world.set_status("base", version, "CREATE_FAILED", failure_reason="first")
    world.clock.advance(1_000)
    assert world.truth()[-1].failure_reason == "first"


def test_image_ties_follow_the_switch(serve: Serve, client: Clients) -> None:
    """Images with equal times are sorted by name, ascending or descending, or shuffled by seed."""
    world = World(clock=VirtualClock(frozen_at=1_790_000_000_000))
    names = [f"image-{number:02}" for number in range(20)] + ["image-02-a"]
    for name in names:
        world.create_image(name)
    simulator = serve(world)
    sagemaker = client(simulator)

    def listed(**switches: Any) -> list[str]:
        simulator.behaviour = Behaviour(**switches)
        pages = sagemaker.get_paginator("list_images").paginate(PaginationConfig={"PageSize": 4})
        return [row["ImageName"] for page in pages for row in page["Images"]]

    assert listed() == sorted(names)
    assert listed(tie_order="descending") == sorted(names, reverse=True)
    shuffled = listed(tie_order="shuffled", tie_seed=1)
    assert sorted(shuffled) == sorted(names)
    assert shuffled not in (sorted(names), listed(tie_order="shuffled", tie_seed=2))


def test_lists_lag_long_after_many_changes(world: World, serve: Serve, client: Clients) -> None:
    """After many changes that are older than the lag, lists return the current state."""
    sagemaker = client(serve(world, list_lag_ms=3_600_000))
    for _ in range(4):
        world.clock.advance(1_800_000)
        world.move_alias("base", "now", world.create_version("base"))
    rows = sagemaker.list_image_versions(ImageName="base", SortBy="VERSION")["ImageVersions"]
    assert [row["Version"] for row in rows] == [7, 6, 5, 4, 3, 2, 1]
    assert sagemaker.list_aliases(ImageName="base", Version=7)["SageMakerImageVersionAliases"] == ["now"]
    assert refused(lambda: sagemaker.list_aliases(ImageName="base", Version=8)) == "ResourceNotFound"


def test_clock_moved_back_hides_nothing(world: World, serve: Serve, client: Clients) -> None:
    """Versions stay in the list if the clock is set to a time before their creation."""
    sagemaker = client(serve(world))
    world.clock.set(1_000)
    assert len(sagemaker.list_image_versions(ImageName="base")["ImageVersions"]) == 5


def test_snapshots_are_bounded(
    world: World, serve: Serve, client: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server keeps a limited number of snapshots, and refuses the token of an older one."""
    monkeypatch.setattr("image_history.simulator.paging._SNAPSHOTS_KEPT", 2)
    sagemaker = client(serve(world, tokens="snapshot"))
    first, *rest = (first_page(sagemaker)[1] for _ in range(3))
    assert refused(lambda: next_page(sagemaker, first)) == "ValidationException"
    assert [next_page(sagemaker, token) for token in rest] == [[3, 4], [3, 4]]


def test_version_numbers_are_never_reused(world: World) -> None:
    """A deleted version's number is not used again while the image exists, even if it was the highest."""
    world.delete_version("base", 5)
    assert world.create_version("base") == 6


def test_put_version_sets_any_state(world: World, serve: Serve, client: Clients) -> None:
    """Unknown statuses, unusual texts and future times reach the client unchanged."""
    reason = 'a"b\\c\n<script> \N{SNOWMAN}' + "x" * 900
    record = VersionRecord(
        version=9,
        creation_ms=1_600_000_000_001,
        last_modified_ms=4_000_000_000_999,
        status="ODD",
        failure_reason=reason,
    )
    world.put_version("base", record)
    row = client(serve(world)).list_image_versions(ImageName="base", SortBy="VERSION")["ImageVersions"][0]
    assert (row["Version"], row["ImageVersionStatus"], row["FailureReason"]) == (9, "ODD", reason)
    assert round(row["LastModifiedTime"].timestamp() * 1000) == 4_000_000_000_999


@pytest.mark.parametrize(
    "switches",
    [{"tokens": "page"}, {"latency_ms": -1}, {"list_lag_ms": 4_000_000}, {"filtering": "never"}],
    ids=str,
)
def test_switches_wrong_value(switches: dict[str, Any]) -> None:
    """A wrong value of a switch is a ConfigError that names the switch."""
    with pytest.raises(ConfigError, match=next(iter(switches))):
        Behaviour(**switches)
