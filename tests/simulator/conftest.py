"""Fixtures for tests of the simulator: servers that stop with their test, and clients.

Must not know what any test checks.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import pytest
from botocore.config import Config

from image_history.simulator import Behaviour, Simulator, VirtualClock, World

T0_MS = 1_790_000_000_123
Serve = Callable[..., Simulator]
Clients = Callable[..., Any]
Admin = Callable[..., Any]


@pytest.fixture
def world() -> World:
    """A world of one scope and one image `base`, with versions 1 to 5 a second apart, and a frozen clock."""
    world = World(clock=VirtualClock(frozen_at=T0_MS))
    world.create_image("base")
    for _ in range(5):
        world.clock.advance(1_000)
        world.create_version("base")
    return world


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A function that starts a server, which stops when the test ends."""
    with ExitStack() as stack:

        def start(world: World, **switches: Any) -> Simulator:
            return stack.enter_context(Simulator(world, behaviour=Behaviour(**switches)))

        yield start


@pytest.fixture(scope="session")
def session() -> boto3.Session:
    """One session for all tests, because loading the service model takes longer than most tests."""
    return boto3.Session()


@pytest.fixture
def client(session: boto3.Session) -> Iterator[Clients]:
    """A function that creates an unmodified boto3 client without retries."""
    with ExitStack() as stack:

        def make(
            simulator: Simulator,
            *,
            service: str = "sagemaker",
            account_id: str | None = None,
            region: str | None = None,
        ) -> Any:
            environment = simulator.environment(account_id, region)
            made = session.client(
                service,
                endpoint_url=simulator.url,
                region_name=environment["AWS_DEFAULT_REGION"],
                aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
                aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
                config=Config(retries={"total_max_attempts": 1, "mode": "standard"}),
            )
            stack.callback(made.close)
            return made

        yield make


@pytest.fixture
def admin() -> Admin:
    """A function that calls the admin interface; it returns the text of an error."""

    def call(simulator: Simulator, path: str, body: object = None, method: str | None = None) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{simulator.url}/_admin/{path}", content, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return json.load(error)["error"]

    return call


@pytest.fixture
def pages() -> Callable[..., list[list[int]]]:
    """A function that lists the versions of `base`, and returns the version numbers of each page."""

    def listed(client: Any, **parameters: Any) -> list[list[int]]:
        found: list[list[int]] = []
        token: dict[str, str] = {}
        while True:
            page = client.list_image_versions(**{"ImageName": "base", **parameters, **token})
            found.append([row["Version"] for row in page["ImageVersions"]])
            if "NextToken" not in page:
                return found
            token = {"NextToken": page["NextToken"]}

    return listed
