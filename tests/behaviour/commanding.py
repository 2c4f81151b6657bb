"""What the tests of whole commands share: the command line in this process, in the folder of a site.

Must not know which command a test runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from image_history.cli import run
from image_history.simulator import World, generate
from tests.behaviour.asking import Answered
from tests.behaviour.harness import ServeWorld, Site


@dataclass(frozen=True, slots=True)
class Commanded:
    """A site; calling the object runs a command in the site's folder."""

    site: Site
    capture: pytest.CaptureFixture[str]

    @property
    def folder(self) -> Path:
        return self.site.folder

    def __call__(self, *arguments: str) -> Answered:
        self.capture.readouterr()
        code = run(arguments)
        captured = self.capture.readouterr()
        return Answered(code, captured.out, captured.err)


def log_lines(text: str) -> Sequence[dict[str, Any]]:
    """Every line as a JSON object; a line that is not JSON fails the test."""
    return [json.loads(line) for line in text.splitlines()]


def small_world() -> World:
    """Two images of three versions in one region."""
    return generate(31, images=2, versions_per_image=3)


@dataclass(frozen=True, slots=True)
class CommandWorld:
    """Makes sites that commands run in."""

    served: ServeWorld
    patch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def __call__(self, world: World | None = None) -> Commanded:
        site = self.served(small_world() if world is None else world)
        self.patch.chdir(site.folder)
        for name, value in site.environment.items():
            if name.startswith("IMAGE_HISTORY_"):
                self.patch.setenv(name, value)
        self.patch.setenv("IMAGE_HISTORY_RETRY__MAX_WAIT", "1ms")
        return Commanded(site, self.capture)


@pytest.fixture
def commanding(
    served: ServeWorld, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandWorld:
    """Makes sites that last until the test ends."""
    return CommandWorld(served, monkeypatch, capfd)


@pytest.fixture
def commanded(commanding: CommandWorld) -> Commanded:
    """A small site that has not been synced yet."""
    return commanding()
