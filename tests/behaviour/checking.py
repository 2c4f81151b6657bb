"""What the tests of check share: the command line in a site's folder, and error responses of AWS.

Must not know what a test checks.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest
from aiohttp import web

from image_history.cli import run
from image_history.simulator import Behaviour, Exchange, Fault, World
from tests.behaviour.asking import Answered
from tests.behaviour.harness import ServeWorld, Site

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bench:
    """A site and the command line in its folder."""

    site: Site
    capture: pytest.CaptureFixture[str]

    def __call__(self, *arguments: str) -> Answered:
        self.capture.readouterr()
        code = run(arguments)
        captured = self.capture.readouterr()
        return Answered(code, captured.out, captured.err)

    def checked(self, *arguments: str) -> tuple[int, list[Row]]:
        """The exit code and the results of `check --json`; the JSON holds the same exit code."""
        answered = self("check", "--json", *arguments)
        told = json.loads(answered.out)
        assert told["exit_code"] == answered.code
        return answered.code, told["checks"]

    def troubles(self) -> tuple[int, list[Row]]:
        """The exit code, and the results that are not ok. Each of them must say how to fix the problem."""
        code, rows = self.checked()
        troubles = [row for row in rows if row["level"] != "ok"]
        assert all(row["fix"] and row["message"] for row in troubles)
        return code, troubles


@dataclass(frozen=True, slots=True)
class MakeBench:
    """Makes a bench from a world."""

    served: ServeWorld
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, world: World, behaviour: Behaviour | None = None, *, config: str = "") -> Bench:
        site = self.served(world, behaviour)
        (site.folder / "config.yaml").write_text(config or "page_size: 100\n", encoding="utf-8")
        self.patch.chdir(site.folder)
        for name in ("LIST", "DESCRIBE"):
            self.patch.setenv(f"IMAGE_HISTORY_RATE__{name}_PER_SECOND", "10000")
        self.patch.setenv("IMAGE_HISTORY_RETRY__MAX_WAIT", "1ms")
        return Bench(site, self.capture)


@pytest.fixture
def bench(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> MakeBench:
    """Makes benches that last until the test ends."""
    return MakeBench(served, monkeypatch, capsys)


def refusing(
    code: str, text: str, concerns: Callable[[Exchange], bool], *, status: int = 400, date: str | None = None
) -> Fault:
    """A fault: AWS refuses the requests that `concerns` selects, in the service's own format, with this Date."""

    async def fault(_: web.Request, exchange: Exchange) -> web.StreamResponse | None:
        if not concerns(exchange):
            return None
        dated = {} if date is None else {"Date": date}
        if exchange.operation == "GetCallerIdentity":
            body = (
                f"<ErrorResponse><Error><Code>{code}</Code><Message>{text}</Message></Error></ErrorResponse>"
            )
            return web.Response(status=403, headers={"Content-Type": "text/xml", **dated}, text=body)
        headers = {"x-amzn-RequestId": str(uuid4()), "Content-Type": "application/x-amz-json-1.1", **dated}
        return web.Response(
            status=status, headers=headers, body=json.dumps({"__type": code, "message": text}).encode()
        )

    return fault


def denying(*operations: str, region: str | None = None) -> Fault:
    """A fault: IAM denies these operations, in one region or everywhere."""

    def concerns(exchange: Exchange) -> bool:
        here = exchange.scope is not None and region in (None, exchange.scope.region)
        return here and exchange.operation in operations

    return refusing("AccessDeniedException", "User is not authorized to perform that.", concerns)


def sync_cut_short(site: Site, image: str) -> None:
    """Run one sync in which AWS denies every page of the image but the first."""

    def concerns(exchange: Exchange) -> bool:
        listed = exchange.operation == "ListImageVersions" and exchange.image_name == image
        return listed and b"NextToken" in exchange.request_body

    site.simulator.fault = refusing(
        "AccessDeniedException", "User is not authorized to perform that.", concerns
    )
    site.sync()
    site.simulator.fault = None
