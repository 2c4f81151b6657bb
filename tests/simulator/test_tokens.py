"""Tokens of every kind, tested with unmodified boto3."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from image_history.simulator import Simulator, World

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


@pytest.mark.parametrize(
    ("tokens", "following"), [("keyset", [3, 4]), ("offset", [4, 5]), ("snapshot", [3, 4])]
)
def test_tokens_deletion_before_the_cursor(
    world: World, serve: Serve, client: Clients, tokens: str, following: list[int]
) -> None:
    """If a row before the cursor is deleted, only offset tokens skip a row."""
    sagemaker = client(serve(world, tokens=tokens))
    _, token = first_page(sagemaker)
    world.delete_version("base", 1)
    assert next_page(sagemaker, token) == following


@pytest.mark.parametrize(
    ("tokens", "following"), [("keyset", [4, 5]), ("offset", [4, 5]), ("snapshot", [3, 4])]
)
def test_tokens_deletion_behind_the_cursor(
    world: World, serve: Serve, client: Clients, tokens: str, following: list[int]
) -> None:
    """If a row after the cursor is deleted, only snapshot tokens still return it."""
    sagemaker = client(serve(world, tokens=tokens))
    _, token = first_page(sagemaker)
    world.delete_version("base", 3)
    assert next_page(sagemaker, token) == following


@pytest.mark.parametrize(
    ("tokens", "seen"),
    [("keyset", [1, 2, 3, 4, 5, 1]), ("offset", [1, 2, 4, 5, 1]), ("snapshot", [1, 2, 3, 4, 5])],
)
def test_tokens_row_moved_to_the_end(
    world: World, serve: Serve, client: Clients, tokens: str, seen: list[int]
) -> None:
    """A row that is updated after it was read comes again, except with snapshots; offsets then skip another row."""
    sagemaker = client(serve(world, tokens=tokens))
    found, token = first_page(sagemaker, SortBy="LAST_MODIFIED_TIME")
    world.clock.advance(1)
    world.update_version("base", 1)
    page = {"NextToken": token}
    while "NextToken" in page:
        page = sagemaker.list_image_versions(
            ImageName="base", **{**ASCENDING, "SortBy": "LAST_MODIFIED_TIME"}, NextToken=page["NextToken"]
        )
        found += [row["Version"] for row in page["ImageVersions"]]
    assert found == seen


@pytest.mark.parametrize("tokens", ["keyset", "offset", "snapshot"])
def test_tokens_look_like_the_real_ones(world: World, serve: Serve, client: Clients, tokens: str) -> None:
    """Each token is at least 600 characters of base64 and different, with the same first characters."""
    sagemaker = client(serve(world, tokens=tokens))
    found = [first_page(sagemaker)[1] for _ in range(3)]
    assert all(600 <= len(token) <= 8192 and re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", token) for token in found)
    assert len(set(found)) == 3
    assert len({token[:18] for token in found}) == 1


@pytest.mark.parametrize("tokens", ["keyset", "offset", "snapshot"])
@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"MaxResults": 3}, id="page-size"),
        pytest.param({"SortOrder": "DESCENDING"}, id="order"),
        pytest.param({"SortBy": "CREATION_TIME"}, id="sort"),
        pytest.param({"CreationTimeAfter": 1}, id="filter"),
        pytest.param({"ImageName": "other"}, id="image"),
    ],
)
def test_tokens_other_request(
    world: World, serve: Serve, client: Clients, tokens: str, change: dict[str, Any]
) -> None:
    """A token is refused with a ValidationException if anything else in the request changes."""
    world.create_image("other")
    sagemaker = client(serve(world, tokens=tokens))
    _, token = first_page(sagemaker)
    assert refused(lambda: next_page(sagemaker, token, **change)) == "ValidationException"
    assert next_page(sagemaker, token) == [3, 4]


def test_tokens_other_operation_or_scope(world: World, serve: Serve, client: Clients) -> None:
    """A token is refused for another operation or region, or if it is damaged."""
    world.create_image("base", scope=("111122223333", "eu-west-1"))
    for alias in ("a", "b", "c"):
        world.move_alias("base", alias, 1)
    simulator = serve(world)
    sagemaker = client(simulator)
    page = sagemaker.list_aliases(ImageName="base", MaxResults=2)
    assert page["SageMakerImageVersionAliases"] == ["a", "b"]
    token = page["NextToken"]
    rest = sagemaker.list_aliases(ImageName="base", MaxResults=2, NextToken=token)
    assert (rest["SageMakerImageVersionAliases"], "NextToken" in rest) == (["c"], False)
    europe = client(simulator, region="eu-west-1")
    for call in (
        lambda: sagemaker.list_image_versions(ImageName="base", MaxResults=2, NextToken=token),
        lambda: europe.list_aliases(ImageName="base", MaxResults=2, NextToken=token),
        lambda: sagemaker.list_aliases(ImageName="base", MaxResults=2, NextToken=token[:-4] + "AAAA"),
        lambda: sagemaker.list_aliases(ImageName="base", MaxResults=2, NextToken="None!"),
    ):
        assert refused(call) == "ValidationException"


@pytest.mark.parametrize("tokens", ["keyset", "offset", "snapshot"])
def test_tokens_expire(world: World, serve: Serve, client: Clients, tokens: str) -> None:
    """A token expires after the switch's lifetime, in virtual time."""
    sagemaker = client(serve(world, tokens=tokens, token_lifetime_seconds=60))
    _, token = first_page(sagemaker)
    world.clock.advance(59_999)
    assert next_page(sagemaker, token) == [3, 4]
    world.clock.advance(1)
    assert refused(lambda: next_page(sagemaker, token)) == "ValidationException"


@pytest.mark.parametrize("tokens", ["keyset", "offset"])
def test_tokens_outlive_their_server(world: World, serve: Serve, client: Clients, tokens: str) -> None:
    """Keyset and offset tokens work on another server, as AWS's tokens do; snapshot tokens do not."""
    _, token = first_page(client(serve(world, tokens=tokens)))
    assert next_page(client(serve(world, tokens=tokens)), token) == [3, 4]
    _, stored = first_page(client(serve(world, tokens="snapshot")))
    assert refused(lambda: next_page(client(serve(world)), stored)) == "ValidationException"


def test_tokens_switched_during_a_listing(world: World, serve: Serve, client: Clients) -> None:
    """A listing completes if the kind of tokens changes in its middle."""
    simulator = serve(world)
    sagemaker = client(simulator)
    _, token = first_page(sagemaker)
    simulator.behaviour = replace(simulator.behaviour, tokens="offset")
    page = sagemaker.list_image_versions(ImageName="base", **ASCENDING, NextToken=token)
    assert next_page(sagemaker, page["NextToken"]) == [5]
