"""One scripted server with one client of the connector for a whole test file, and calls that never sleep.

Must not know which answers are given.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from image_history.aws.deadline import Callers
from image_history.aws.image_api import Access, ImageApi, Timeouts
from image_history.extract.calls import Pace, ScopeCalls, Source
from image_history.extract.pace import Pacer
from image_history.extract.retry import RetryPolicy
from image_history.model import Stop
from tests.behaviour.scripted import Answering, Reply, Request, Scripted, in_turn, scripted


class Waits(threading.Event):
    """An event whose waits return at once; `seconds` records how long they would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(0.0 if timeout is None else timeout)
        return self.is_set()


def unpaced_calls(source: Source, *, attempts: int = 3, stop: Stop | None = None) -> ScopeCalls:
    """The calls of a scope, without waits between calls; `stop.event` waits between attempts."""
    pace = Pace(lists=Pacer(1e9), describes=Pacer(1e9))
    return ScopeCalls(source, policy=RetryPolicy(attempts), pace=pace, stop=stop or Stop(event=Waits()))


@dataclass(slots=True)
class Stage:
    """The server's next answers, and the connector's client of the server."""

    server: Scripted = field(default_factory=Scripted)
    answering: Answering = field(default_factory=in_turn)
    api: ImageApi = field(init=False)

    def play(self, *replies: Reply | bytes) -> None:
        """Give these answers from now on, then repeat the last one; forget all earlier requests."""
        self.answering = in_turn(*replies)
        self.server.requests.clear()

    def reply(self, request: Request) -> Reply | bytes | Iterator[bytes]:
        return self.answering(request)

    def call(self) -> Any:
        """Make one call for a page."""
        return self.api.call("ListImageVersions", {"ImageName": "base"})


@contextmanager
def staged(**variables: str) -> Iterator[Stage]:
    """A stage whose client was made with these environment variables."""
    stage = Stage()
    with scripted(stage.reply) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in {**server.environment, **variables}.items():
            patch.setenv(name, value)
        stage.server = server
        stage.api = ImageApi(Access(), "us-east-1", timeouts=Timeouts(5, 5), callers=Callers(1))
        yield stage
