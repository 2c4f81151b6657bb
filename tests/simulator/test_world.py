"""Worlds: seeds, scopes, the clock, and changes from several threads."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from image_history.errors import ConfigError
from image_history.simulator import Shares, Simulator, VirtualClock, World, generate

Serve = Callable[..., Simulator]
Clients = Callable[..., Any]


def test_generate_same_seed_same_world() -> None:
    """The same arguments generate the same world; another seed generates another one."""
    shape: dict[str, Any] = {"accounts": 2, "regions": 2, "images": 5, "versions_per_image": 20}
    first, second, other = generate(4, **shape), generate(4, **shape), generate(5, **shape)
    assert first.truth() == second.truth()
    assert first.image_truth() == second.image_truth()
    assert first.truth() != other.truth()


def test_generate_has_the_asked_shape() -> None:
    """A generated world has exact counts, legal names of both cases, reasons of failures, and an alias `latest`."""
    world = generate(
        1,
        accounts=["000000000001", "000000000002"],
        regions=["eu-west-1"],
        images=30,
        versions_per_image=9,
        largest=50,
    )
    images = world.image_truth()
    assert len(images) == 60
    assert sorted({image.version_count for image in images}) == [9, 50]
    assert any(image.image_name != image.image_name.lower() for image in images)
    assert any(image.image_name == image.image_name.lower() for image in images)
    failed = [row for row in world.truth() if row.status == "CREATE_FAILED"]
    assert failed
    assert all(row.failure_reason for row in failed)
    assert all(row.creation_ms < row.last_modified_ms for row in world.truth())
    assert {row.aliases for row in world.truth() if row.version == 50} == {("latest",)}


def test_generated_names_are_legal(session: Any) -> None:
    """The names of images are unique in a scope, and such as AWS's model allows, however many there are."""
    model = session.client("sagemaker", region_name="us-east-1").meta.service_model
    shape = model.shape_for("ImageName")
    names = [image.image_name for image in generate(3, images=2_000, versions_per_image=0).image_truth()]
    assert len(set(names)) == 2_000
    assert [name for name in names if not re.fullmatch(shape.metadata["pattern"], name)] == []
    assert max(map(len, names)) <= shape.metadata["max"]


def test_generate_deleted_share_leaves_gaps() -> None:
    """A share of deleted versions leaves gaps in the numbers, but the number of existing versions is exact."""
    world = generate(1, images=1, versions_per_image=100, shares=Shares(deleted=0.2))
    versions = [row.version for row in world.truth()]
    assert len(versions) == 100 < max(versions)
    assert world.create_version(world.image_truth()[0].image_name) == max(versions) + 1


def test_scopes_are_told_apart(serve: Serve, client: Clients) -> None:
    """A client sees only the images of its access key's account and of its signature's region."""
    world = generate(2, accounts=2, regions=["us-east-1", "eu-west-1"], images=3, versions_per_image=2)
    simulator = serve(world)
    for scope in world.scopes:
        sagemaker = client(simulator, account_id=scope.account_id, region=scope.region)
        listed = {image["ImageArn"] for image in sagemaker.list_images()["Images"]}
        assert listed == {
            image.image_arn for image in world.image_truth(account_id=scope.account_id, region=scope.region)
        }
        identity = client(simulator, service="sts", account_id=scope.account_id).get_caller_identity()
        assert identity["Account"] == scope.account_id
    assert client(simulator, region="ap-south-1").list_images()["Images"] == []


def test_unknown_access_key_is_refused(world: World, serve: Serve, session: Any) -> None:
    """SageMaker and STS refuse an unknown access key, each with its own error code."""
    simulator = serve(world)
    keys = {"aws_access_key_id": "AKIANOBODY", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    found = {}
    for service, method in (("sagemaker", "list_images"), ("sts", "get_caller_identity")):
        client = session.client(service, endpoint_url=simulator.url, **keys)
        with pytest.raises(ClientError) as caught:
            getattr(client, method)()
        client.close()
        found[service] = caught.value.response["Error"]["Code"]
        assert "security token included in the request is invalid" in str(caught.value)
    assert found == {"sagemaker": "UnrecognizedClientException", "sts": "InvalidClientTokenId"}


def test_access_key_of_sts_tells_its_account(serve: Serve, session: Any) -> None:
    """STS reads the account from a temporary key, and refuses the key if that account does not exist."""
    simulator = serve(World(accounts=["029608264753"]))
    asking = {"endpoint_url": simulator.url, "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = session.client("sts", aws_access_key_id="ASIAQNZGKIQY56JQ7WML", **asking)
    assert client.get_caller_identity()["Account"] == "029608264753"
    client.close()
    for stranger in ("ASIAQNZGKIQX56JQ7WML", "AKIAIOSFODNN7EXAMPLE", "ASIA" + "1" * 16):
        client = session.client("sts", aws_access_key_id=stranger, **asking)
        with pytest.raises(ClientError, match="InvalidClientTokenId"):
            client.get_caller_identity()
        client.close()


def test_other_sts_operation_is_refused(world: World, serve: Serve, client: Clients) -> None:
    """STS refuses other operations than GetCallerIdentity."""
    with pytest.raises(
        ClientError, match=r"InvalidAction.*Could not find operation GetSessionToken"
    ) as caught:
        client(serve(world), service="sts").get_session_token()
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_garbled_signature_is_refused(world: World, serve: Serve) -> None:
    """An Authorization header without a credential scope is refused."""
    request = urllib.request.Request(serve(world).url, b"{}", {"Authorization": "Bearer x"})
    request.add_header("X-Amz-Target", "SageMaker.ListImages")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert json.load(answer)["__type"] == "IncompleteSignatureException"


def test_unsigned_request_is_refused(world: World, serve: Serve, session: Any) -> None:
    """A request without an Authorization header is refused."""
    from botocore import UNSIGNED
    from botocore.config import Config

    client = session.client(
        "sagemaker",
        endpoint_url=serve(world).url,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    with pytest.raises(ClientError, match="MissingAuthenticationToken"):
        client.list_images()
    client.close()


def test_date_header_follows_the_clock(serve: Serve, client: Clients) -> None:
    """The server's Date is the virtual time, which can be frozen, advanced, set and resumed."""
    world = World(clock=VirtualClock(frozen_at=datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)))
    sagemaker = client(serve(world))

    def date() -> datetime:
        headers = sagemaker.list_images()["ResponseMetadata"]["HTTPHeaders"]
        return parsedate_to_datetime(headers["date"])

    assert date() == date() == datetime(2030, 5, 6, 7, 8, 9, tzinfo=UTC)
    world.clock.advance(61_000)
    assert date() == datetime(2030, 5, 6, 7, 9, 10, tzinfo=UTC)
    world.clock.set(datetime(2020, 1, 1, tzinfo=UTC))
    assert date() == datetime(2020, 1, 1, tzinfo=UTC)
    world.clock.resume()
    assert not world.clock.frozen
    assert date() >= datetime(2020, 1, 1, tzinfo=UTC)
    world.clock.advance(3_600_000)
    assert date() >= datetime(2020, 1, 1, 1, tzinfo=UTC)


def test_clock_naive_time_is_refused() -> None:
    """A time without a zone is refused, because it is ambiguous."""
    with pytest.raises(ConfigError, match="no time zone"):
        VirtualClock(frozen_at=datetime(2030, 1, 1))  # noqa: DTZ001 - the point of the test


def test_transitions_happen_at_their_own_time(world: World, serve: Serve) -> None:
    """If the clock jumps, each scheduled change happens at its own instant, in order."""
    serve(world, create_ms=100)
    started_ms = world.clock.now_ms()
    seen = []
    world.schedule(started_ms + 50, lambda at_ms: seen.append((at_ms, world.create_version("base"))))
    world.create_version("base")
    world.clock.advance(1_000_000)
    modified = {row.version: row.last_modified_ms - started_ms for row in world.truth()}
    assert seen == [(started_ms + 50, 7)]
    assert (modified[6], modified[7]) == (100, 150)


def test_mistakes_are_config_errors(world: World) -> None:
    """A wrong call is a ConfigError that names the mistake."""
    cases: list[tuple[Callable[[], object], str]] = [
        (lambda: world.create_version("nope"), "no image nope"),
        (lambda: world.delete_version("base", 77), "no version 77"),
        (lambda: world.create_image("base"), "already exists"),
        (lambda: world.delete_alias("base", "x"), "no alias x"),
        (lambda: world.add_account("12"), "twelve|12 digits"),
        (lambda: world.access_key("999999999999"), "no account 999999999999"),
        (lambda: generate(images=-1), "zero"),
    ]
    for call, text in cases:
        with pytest.raises(ConfigError, match=text):
            call()


def test_changes_from_threads_while_it_is_read(world: World, serve: Serve, client: Clients) -> None:
    """With parallel writers and readers, no number is given twice, and every listing has the first versions."""
    simulator = serve(world, tokens="keyset")
    sagemaker = client(simulator)

    def write(_: int) -> list[int]:
        return [world.create_version("base") for _ in range(50)]

    def read(_: int) -> set[int]:
        paginator = sagemaker.get_paginator("list_image_versions")
        pages = paginator.paginate(ImageName="base", SortBy="VERSION", SortOrder="ASCENDING")
        return {row["Version"] for page in pages for row in page["ImageVersions"]}

    with ThreadPoolExecutor(8) as pool:
        writers, readers = (
            [pool.submit(write, each) for each in range(4)],
            [pool.submit(read, each) for each in range(4)],
        )
        written = [version for each in writers for version in each.result()]
        assert all({1, 2, 3, 4, 5} <= each.result() for each in readers)
    assert sorted(written) == list(range(6, 206))
    assert read(0) == set(range(1, 206))
    assert simulator.counters.rows >= 205


def test_counters_tell_what_was_asked(world: World, serve: Serve, client: Clients) -> None:
    """Calls are counted by operation and image, and logged in order with their parameters, until a reset."""
    simulator = serve(world)
    sagemaker = client(simulator)
    world.create_image("other")
    sagemaker.list_images()
    sagemaker.list_image_versions(ImageName="base", MaxResults=2)
    sagemaker.list_image_versions(ImageName="other")
    with pytest.raises(ClientError):
        sagemaker.describe_image(ImageName="nope")
    counters = simulator.counters
    assert counters.calls() == 4
    assert counters.calls("ListImageVersions") == 2
    assert counters.calls("ListImageVersions", "base") == counters.calls(image="base") == 1
    assert (counters.rows, counters.errors(), counters.connections) == (4, 1, 1)
    assert [(entry.operation, entry.parameters, entry.status, entry.rows) for entry in counters.log[1:]] == [
        ("ListImageVersions", {"ImageName": "base", "MaxResults": 2}, 200, 2),
        ("ListImageVersions", {"ImageName": "other"}, 200, 0),
        ("DescribeImage", {"ImageName": "nope"}, 400, 0),
    ]
    assert counters.log[3].error_code == "ResourceNotFound"
    counters.reset()
    assert (counters.calls(), counters.rows, counters.log) == (0, 0, [])


def test_server_in_use_port(world: World, serve: Serve) -> None:
    """A port that is in use is a ConfigError that names the port."""
    port = serve(world).port
    with (
        pytest.raises(ConfigError, match=f"cannot listen on port {port} .*already in use"),
        Simulator(world, port=port),
    ):
        pass


def test_server_stops_with_open_connections(world: World, client: Clients) -> None:
    """At the end of the block, the server stops in spite of idle connections, and frees the port."""
    with Simulator(world) as simulator:
        client(simulator).list_images()
        port = simulator.port
    with Simulator(world, port=port) as again:
        assert client(again).list_images()["Images"]


def test_fault_hook_replaces_an_answer(world: World, serve: Serve, client: Clients) -> None:
    """The fault hook may replace the response of an exchange, or let it pass."""
    from aiohttp import web

    from image_history.simulator import Exchange

    async def fail(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if exchange.operation != "DescribeImage":
            return None
        return web.Response(status=503, body=b"<html>busy</html>")

    simulator = serve(world)
    sagemaker = client(simulator)
    simulator.fault = fail
    assert sagemaker.list_images()["Images"]
    with pytest.raises(ClientError, match="503"):
        sagemaker.describe_image(ImageName="base")
    simulator.fault = None
    assert sagemaker.describe_image(ImageName="base")
